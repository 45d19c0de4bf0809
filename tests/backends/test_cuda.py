"""What the CUDA backend chooses, as far as it can be seen without a GPU."""

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from retake.backends import cuda, cuda_flash_attn
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
    monkeypatch.setattr(cuda_flash_attn, "find_spec", lambda name: None)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "A GPU")
    generator = torch.Generator().manual_seed(0)
    queries, keys = (torch.randn(h, 20, 8, generator=generator) for h in (4, 2))
    want = attention.attention_mass_reference(queries, keys, 0.3)
    torch.testing.assert_close(CUDA().attention_mass(queries, keys, 0.3), want)
    assert "Triton is not installed" in CUDA().describe()
    assert "torch's flash kernel in 16 bits (flash-attn is not installed)" in CUDA().describe()
    assert CUDA(kernel="eager").describe() == "cuda:0 A GPU, eager attention"
    monkeypatch.setattr(cuda, "find_spec", lambda name: object())
    assert "by a Triton kernel" in CUDA().describe()


def _flash_attn(queries: Tensor, keys: Tensor, values: Tensor, **options: Any) -> Tensor:
    """Stands for the package's function: tokens before heads, bottom-right causal."""
    assert options["causal"] is True
    states = [part.transpose(1, 2) for part in (queries, keys, values)]
    return attention.attend_eager(*states, options["softmax_scale"]).transpose(1, 2)


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A stand-in for an installed flash-attn, on an Ampere GPU."""
    made: Any = ModuleType("flash_attn")
    made.flash_attn_func, made.__version__ = _flash_attn, "2.8.3"
    monkeypatch.setitem(sys.modules, "flash_attn", made)
    monkeypatch.setattr(cuda_flash_attn, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "A GPU")
    cuda_flash_attn._installed.cache_clear()
    yield made
    cuda_flash_attn._installed.cache_clear()


@pytest.mark.parametrize(("count", "past"), [(1, 9), (7, 0), (7, 9)])
def test_flash_attn_attends_where_it_is_installed(
    package: ModuleType, count: int, past: int
) -> None:
    """In 16 bits the package is called, with heads that are not repeated, and says so."""
    states = [state.bfloat16() for state in _states(count, past)]
    assert cuda_flash_attn.serves(*states)
    assert torch.equal(CUDA().attend(*states, 0.3), attention.attend_eager(*states, 0.3))
    assert "flash-attn 2.8.3 in 16 bits, blocks in 32" in CUDA().describe()


def test_flash_attn_is_kept_to_its_limits(
    package: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Float32, heads that are too wide, and older GPUs are not given to it."""
    assert not cuda_flash_attn.serves(*_states(7, 9))
    wide = [torch.zeros(1, 2, 4, 257, dtype=torch.float16)] * 3
    assert not cuda_flash_attn.serves(*wide)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert not cuda_flash_attn.serves(*[state.half() for state in _states(7, 9)])
    assert "Ampere" in CUDA().describe()


@pytest.mark.parametrize("version", ["2.0.9", None])
def test_a_flash_attn_that_cannot_serve_is_told_of(
    package: ModuleType, version: str | None
) -> None:
    """A release with another causal rule, or without the function, is not used."""
    if version is None:
        del package.flash_attn_func
    else:
        package.__version__ = version  # type: ignore[attr-defined]
    assert not cuda_flash_attn.serves(*[state.half() for state in _states(7, 9)])
    said = "2.0.9 aligns chunks otherwise" if version else "cannot be imported"
    assert said in CUDA().describe()


def test_memory_and_time_are_those_of_every_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peaks of all cards are added, and only cards in use are waited for."""
    done: list[Any] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda card: (5, 7, 0)[card])
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda card: (0, 8, 0)[card])
    monkeypatch.setattr(torch.cuda, "synchronize", done.append)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", done.append)
    assert CUDA().peak_memory() == 12
    CUDA().synchronize()
    assert done == [torch.device("cuda", 0), 1]
    done.clear()
    CUDA().reset_peak_memory()
    assert done == [0, 1, 2]
