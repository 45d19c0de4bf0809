"""The CPU's attention against the portable kernels."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from retake.backends.cpu import CPU
from retake.core import attention


def _states(
    groups: int, share: int, count: int, past: int, width: int, batch: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries as a layer makes them, keys and values as slices of a longer buffer."""
    generator = torch.Generator().manual_seed(count + past)
    queries = torch.randn(batch, count, groups * share, width, generator=generator)
    pairs = torch.randn(2, batch, groups, past + count + 3, width, generator=generator)
    keys, values = pairs[..., : past + count, :]
    return queries.transpose(1, 2), keys, values


@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 40),
    st.integers(0, 50),
    st.sampled_from([4, 8, 20, 64]),
    st.integers(1, 2),
)
@settings(deadline=None)
def test_attend_is_the_reference(
    groups: int, share: int, count: int, past: int, width: int, batch: int
) -> None:
    """For any heads, queries and past: the merge of two halves is attention over the whole."""
    states = _states(groups, share, count, past, width, batch)
    want = attention.attend_eager(*states, 0.4)
    got = CPU().attend(*states, 0.4)
    assert got.dtype == want.dtype
    torch.testing.assert_close(got, want, atol=2e-6, rtol=1e-5)
    assert torch.equal(CPU(kernel="eager").attend(*states, 0.4), want)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("count", "past"), [(1, 60), (30, 0), (30, 500), (3, 1)])
def test_attend_in_16_bits(dtype: torch.dtype, count: int, past: int) -> None:
    """Within the rounding of the dtype; what goes in comes out."""
    states = [part.to(dtype) for part in _states(2, 3, count, past, 32)]
    want = attention.attend_eager(*states, 0.2)
    got = CPU().attend(*states, 0.2)
    assert got.dtype == dtype
    torch.testing.assert_close(got, want, atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize("spread", [1e3, 1e-3])
def test_attend_where_one_half_has_all_the_weight(spread: float) -> None:
    """Log-sum-exps that are far apart do not overflow when the halves are merged."""
    queries, keys, values = _states(1, 2, 5, 9, 8)
    keys[:, :, :9] *= spread
    got = CPU().attend(queries, keys, values, 1.0)
    want = attention.attend_eager(queries, keys, values, 1.0)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-4)


def test_attend_repeats_to_the_bit() -> None:
    """The same input gives the same bits."""
    states = _states(2, 2, 40, 100, 32)
    assert torch.equal(CPU().attend(*states, 0.2), CPU().attend(*states, 0.2))
