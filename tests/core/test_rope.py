"""Turning and turning back."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from retake.core import rope


def _angles(count: int, width: int, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    angles = torch.rand(count, width // 2) * 50
    both = torch.cat((angles, angles), dim=-1)
    return both.cos() * scale, both.sin() * scale


@given(st.integers(1, 9), st.sampled_from([2, 8, 16]), st.floats(0.5, 2.0), st.integers(0, 99))
def test_unrotate_undoes_rotate(count: int, width: int, scale: float, seed: int) -> None:
    """What was turned is turned back, also where the angles carry an attention scaling."""
    torch.manual_seed(seed)
    states = torch.randn(2, 3, count, width)
    cos, sin = _angles(count, width, scale)
    turned = rope.rotate(states, cos, sin)
    torch.testing.assert_close(rope.unrotate(turned, cos, sin), states, atol=1e-5, rtol=1e-5)
    lengths = states.norm(dim=-1) * scale
    torch.testing.assert_close(turned.norm(dim=-1), lengths, atol=1e-4, rtol=1e-5)


def test_rotate_is_a_complex_product() -> None:
    """Dimension i and i + D/2 are one complex number, multiplied by cos + i sin."""
    torch.manual_seed(0)
    states = torch.randn(5, 8)
    cos, sin = _angles(5, 8, 1.0)
    numbers = torch.complex(states[:, :4], states[:, 4:]) * torch.complex(cos[:, :4], sin[:, :4])
    want = torch.cat((numbers.real, numbers.imag), dim=1)
    torch.testing.assert_close(rope.rotate(states, cos, sin), want)


def test_low_precision_is_turned_in_float32() -> None:
    """bfloat16 in, bfloat16 out, with the error of one rounding only."""
    torch.manual_seed(0)
    states = torch.randn(5, 8).bfloat16()
    cos, sin = _angles(5, 8, 1.0)
    turned = rope.rotate(states, cos, sin)
    assert turned.dtype == torch.bfloat16
    assert torch.equal(turned, rope.rotate(states.float(), cos, sin).bfloat16())
