"""Attention and attention mass against brute force, and how much memory they take."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from retake.core import attention

_SHAPES = st.tuples(
    st.integers(1, 2),  # batch
    st.integers(1, 3),  # key heads
    st.integers(1, 3),  # query heads a key head
    st.integers(1, 9),  # queries
    st.integers(0, 12),  # past
    st.sampled_from([4, 8]),  # width
)


def _brute_force(queries: Tensor, keys: Tensor, values: Tensor, scaling: float) -> Tensor:
    """One query at a time, in float64."""
    batch, heads, count, _ = queries.shape
    past, group = keys.shape[2] - count, heads // keys.shape[1]
    out = torch.empty(batch, heads, count, values.shape[3], dtype=torch.float64)
    for b in range(batch):
        for h in range(heads):
            for q in range(count):
                seen = past + q + 1
                key, value = keys[b, h // group, :seen], values[b, h // group, :seen]
                weights = (key.double() @ queries[b, h, q].double() * scaling).softmax(0)
                out[b, h, q] = weights @ value.double()
    return out.float()


def _states(shape: tuple[int, ...], seed: int) -> tuple[Tensor, Tensor, Tensor]:
    batch, groups, share, count, past, width = shape
    torch.manual_seed(seed)
    queries = torch.randn(batch, groups * share, count, width)
    keys = torch.randn(batch, groups, past + count, width)
    return queries, keys, torch.randn(batch, groups, past + count, width)


@pytest.mark.parametrize("attend", [attention.attend_eager, attention.attend_sdpa])
@given(shape=_SHAPES, seed=st.integers(0, 99), scaling=st.floats(0.05, 1.0))
@settings(max_examples=40, deadline=None)
def test_attend(
    attend: Callable[..., Tensor], shape: tuple[int, ...], seed: int, scaling: float
) -> None:
    """Both kernels are bottom-right causal attention, for any heads, queries and past."""
    queries, keys, values = _states(shape, seed)
    got = attend(queries, keys, values, scaling)
    want = _brute_force(queries, keys, values, scaling)
    torch.testing.assert_close(got, want, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("attend", [attention.attend_eager, attention.attend_sdpa])
def test_attend_in_blocks(attend: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of queries add up to the whole, also where the last block is short."""
    queries, keys, values = _states((1, 2, 2, 50, 30, 8), 0)
    want = _brute_force(queries, keys, values, 0.3)
    for elements in (1, 700, 5000):
        monkeypatch.setattr(attention, "_BLOCK_ELEMENTS", elements)
        got = attend(queries, keys, values, 0.3)
        torch.testing.assert_close(got, want, atol=2e-6, rtol=1e-5)


def test_kernels_agree_in_low_precision() -> None:
    """bfloat16 goes in and out, and both kernels stay within its rounding."""
    states = [part.bfloat16() for part in _states((1, 2, 2, 20, 30, 8), 0)]
    eager, fused = attention.attend_eager(*states, 0.3), attention.attend_sdpa(*states, 0.3)
    assert eager.dtype == fused.dtype == torch.bfloat16
    torch.testing.assert_close(eager.float(), fused.float(), atol=2e-2, rtol=2e-2)


@given(shape=_SHAPES, seed=st.integers(0, 99), scaling=st.floats(0.05, 1.0))
@settings(max_examples=40, deadline=None)
def test_attention_mass(shape: tuple[int, ...], seed: int, scaling: float) -> None:
    """Each key's softmax weight, summed over queries and averaged over heads; its mean is 1."""
    queries, keys, _ = _states((1, *shape[1:4], 0, shape[5]), seed)
    mass = attention.attention_mass(queries[0], keys[0], scaling)
    shared = keys[0].repeat_interleave(shape[2], dim=0)
    logits = (queries[0].double() @ shared.double().transpose(1, 2)) * scaling
    want = logits.softmax(-1).sum(1).mean(0).float()
    plain = attention.attention_mass_reference(queries[0], keys[0], scaling)
    torch.testing.assert_close(plain, want, atol=1e-5, rtol=1e-5)
    assert mass.dtype == torch.float32
    torch.testing.assert_close(mass, want, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(mass.mean(), torch.tensor(1.0), atol=1e-5, rtol=0)


@pytest.mark.parametrize("elements", [1, 300, 5000])
@pytest.mark.parametrize(("dtype", "heads"), [(torch.float32, 4), (torch.bfloat16, 6)])
def test_attention_mass_in_blocks(
    elements: int, dtype: torch.dtype, heads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks of queries add up to the whole; 16-bit states are weighed in float32, too."""
    generator = torch.Generator().manual_seed(0)
    # As the engine has them: heads are not the outermost axis in memory.
    queries = torch.randn(50, heads, 8, generator=generator).to(dtype).transpose(0, 1)
    keys = torch.randn(2, 70, 8, generator=generator).to(dtype)[:, :50]
    want = attention.attention_mass_reference(queries, keys, 0.3)
    monkeypatch.setattr(attention, "_MASS_ELEMENTS", elements)
    mass = attention.attention_mass(queries, keys, 0.3)
    assert mass.dtype == torch.float32
    torch.testing.assert_close(mass, want, atol=1e-5, rtol=1e-5)
    assert torch.equal(mass, attention.attention_mass(queries, keys, 0.3))


class _Largest(TorchDispatchMode):
    """Records the number of elements of the largest tensor that any operator makes."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.elements = max(self.elements, leaf.numel())
        return result


def test_largest_sees_a_score_matrix() -> None:
    """The measure of the next test does see a heads × queries × keys matrix."""
    queries, keys, _ = _states((1, 2, 2, 64, 0, 8), 0)
    with _Largest() as largest:
        _ = queries @ keys.repeat_interleave(2, dim=1).transpose(-1, -2)
    assert largest.elements == 4 * 64 * 64


@pytest.mark.parametrize("name", ["attend_eager", "attend_sdpa", "attention_mass"])
def test_no_score_matrix_is_made(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No tensor grows with queries × keys: blocks bound what is held at once."""
    monkeypatch.setattr(attention, "_BLOCK_ELEMENTS", 20_000)
    monkeypatch.setattr(attention, "_MASS_ELEMENTS", 10_000)  # logits and weights
    queries, keys, values = _states((1, 2, 2, 400, 400, 8), 0)
    if name == "attention_mass":
        keys = keys[:, :, :400]
    inputs = max(queries.numel(), keys.numel() * 2, values.numel() * 2)
    with _Largest() as largest:
        if name == "attention_mass":
            attention.attention_mass(queries[0], keys[0], 0.3)
        else:
            getattr(attention, name)(queries, keys, values, 0.3)
    assert largest.elements <= max(20_000, inputs)
    assert largest.elements < 400 * 400
