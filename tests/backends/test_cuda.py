"""What the CUDA backend chooses, as far as it can be seen without a GPU."""

from typing import Any

import pytest
import torch
from torch import Tensor

from retake.backends import cuda
from retake.backends.cuda import CUDA
from retake.core import attention


def _states(count: int, past: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(1, 4, count, 16), (1, 2, past + count, 16), (1, 2, past + count, 16)]
    return [torch.randn(shape, generator=generator) for shape in shapes]


@pytest.mark.parametrize(("count", "past"), [(1, 9), (7, 0), (7, 9)])
def test_what_flash_cannot_serve_runs_in_blocks(count: int, past: int) -> None:
    """Tensors that torch's flash kernel refuses, such as these on the CPU, are attended to."""
    states = _states(count, past)
    got = CUDA().attend(*states, 0.3)
    torch.testing.assert_close(got, attention.attend_eager(*states, 0.3), atol=2e-6, rtol=1e-5)


def test_flash_is_given_no_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where flash serves, the chunk is bottom-right causal by its kernel's own rule."""
    # Importing torch's compiler may warn on its own account.
    bias = pytest.importorskip("torch.nn.attention.bias")
    asked: list[Any] = []

    def kernel(queries: Tensor, keys: Tensor, values: Tensor, *_: Any, **options: Any) -> Any:
        asked.append((keys.shape[1], options))
        return (attention.attend_eager(queries, keys, values, options["scale"]),)

    monkeypatch.setattr(cuda, "_flash_serves", lambda *states: True)
    monkeypatch.setattr(bias, "can_use_flash_attention", lambda params: True)
    monkeypatch.setattr(torch.ops.aten, "_scaled_dot_product_flash_attention", kernel)
    states = _states(7, 9)
    got = CUDA().attend(*states, 0.3)
    assert torch.equal(got, attention.attend_eager(*states, 0.3))
    ((groups, options),) = asked
    assert groups == 2  # key heads are not repeated
    assert options["is_causal"] is True


def test_mass_without_triton_runs_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scoring needs no Triton, and says which way it goes."""
    monkeypatch.setattr(cuda, "find_spec", lambda name: None)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "A GPU")
    generator = torch.Generator().manual_seed(0)
    queries, keys = (torch.randn(h, 20, 8, generator=generator) for h in (4, 2))
    want = attention.attention_mass_reference(queries, keys, 0.3)
    torch.testing.assert_close(CUDA().attention_mass(queries, keys, 0.3), want)
    assert "Triton is not installed" in CUDA().describe()
    assert CUDA(kernel="eager").describe() == "cuda:0 A GPU, eager attention"
    monkeypatch.setattr(cuda, "find_spec", lambda name: object())
    assert "by a Triton kernel" in CUDA().describe()
