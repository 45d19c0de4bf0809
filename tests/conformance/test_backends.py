"""What every registered backend must do that this machine can use: be the CPU, only faster.

`tests/backends/test_npu.py` runs these on a simulated Ascend device, in a process of its own.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor

import retake
from retake import FrameSelector, VisualTokens
from retake.asking import Asking
from retake.backends import backends
from retake.core import attention
from retake.core.arena import CACHE_ARGUMENT
from retake.core.backend import Backend
from retake.core.engine import Prefilled
from retake.encoding import EncodedVideo
from retake.loading import make_backend
from retake.models import models
from retake.selectors import selectors
from tests.parts import COMPRESSORS, SELECTORS
from tests.tiny import MAKERS

USABLE = [name for name in backends.names() if backends.get(name).unavailable() is None]

#: How far attention and logits may be from the reference in float32: another order of summing.
CLOSE = 2e-5
#: In bfloat16, of results near 1: a few steps of its 8 bits.
CLOSE_BF16 = 2e-2
#: Heads, key heads, queries, past, head size.
SHAPES = [(4, 2, 33, 70, 32), (4, 4, 1, 40, 16), (8, 2, 24, 0, 64), (6, 1, 5, 3, 128)]


@pytest.fixture(scope="module", params=USABLE)
def name(request: pytest.FixtureRequest) -> str:
    """Each backend that is usable here."""
    return str(request.param)


@pytest.fixture(params=["sdpa", "eager"])
def backend(name: str, request: pytest.FixtureRequest) -> Backend:
    """It, with its fast attention and its plain one."""
    return make_backend(name, request.param)


def _close(made: Tensor, wanted: Tensor) -> None:
    limit = CLOSE if made.dtype == torch.float32 else CLOSE_BF16
    torch.testing.assert_close(made.cpu().float(), wanted.float(), atol=limit, rtol=limit)


def _states(
    shape: tuple[int, int, int, int, int], dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries as a layer makes them; keys and values as views of the arena's longer buffers."""
    heads, groups, count, past, width = shape
    drawn = torch.Generator().manual_seed(count)
    queries = torch.randn(1, count, heads, width, generator=drawn).to(dtype).transpose(1, 2)
    keys, values = (
        torch.randn(1, groups, past + count + 9, width, generator=drawn).to(dtype) for _ in "kv"
    )
    return queries, keys, values


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("shape", SHAPES)
def test_attention(backend: Backend, shape: Any, dtype: torch.dtype) -> None:
    """The reference's, for grouped heads, a chunk with and without past, and one token."""
    count, past, width = shape[2:]
    queries, keys, values = _states(shape, dtype)
    seen = slice(past + count)
    wanted = attention.attend_eager(queries, keys[:, :, seen], values[:, :, seen], width**-0.5)
    queries, keys, values = (part.to(backend.device) for part in (queries, keys, values))
    with torch.inference_mode():
        made = backend.attend(queries, keys[:, :, seen], values[:, :, seen], width**-0.5)
    assert made.device == backend.device
    assert made.dtype == dtype
    _close(made, wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("shape", SHAPES)
def test_attention_mass(backend: Backend, shape: Any, dtype: torch.dtype) -> None:
    """The reference's, in float32 whatever comes in; its mean over keys is 1."""
    count, width = shape[2], shape[4]
    queries, keys, _ = _states(shape, dtype)
    keys = keys[:, :, :count]
    wanted = attention.attention_mass_reference(queries[0], keys[0], width**-0.5)
    with torch.inference_mode():
        made = backend.attention_mass(
            queries[0].to(backend.device), keys[0].to(backend.device), width**-0.5
        )
    assert made.dtype == torch.float32
    _close(made, wanted)
    assert float(made.mean()) == pytest.approx(1, abs=1e-4)


def _chosen(model: retake.VideoModel, video: EncodedVideo, **parts: Any) -> tuple[Any, Any]:
    chosen = model.with_parts(**parts)
    return chosen, chosen.watch(video, questions=["What happens?"])


def _logits(model: retake.VideoModel, memory: retake.VideoMemory) -> Tensor:
    """Of the tokens of a question behind a memory."""
    asking = Asking(model._parts(), memory, model.config.generate)
    prefilled = Prefilled(memory.cache, memory.next_position, memory.kept)
    ids = torch.tensor([model.adapter.prompt("What happens?").suffix], device=model.adapter.device)
    with asking._engine.asking(prefilled, ids.shape[1]) as cache:
        logits: Tensor = model.adapter.model(input_ids=ids, **{CACHE_ARGUMENT: cache}).logits
        return logits[0].float().cpu()


Encoded = tuple[retake.VideoModel, EncodedVideo]


@pytest.fixture(scope="module")
def encoded(load: Callable[..., Any], clip: Path, name: str) -> tuple[Encoded, Encoded]:
    """The model on a backend and on the CPU, each with the clip as it encoded it.

    Encoding is the same for all selectors and compressors; `test_every_family` compares it.
    """
    made = []
    for place in (name, "cpu"):
        model = load(selector="none", compressor="none", dtype="float32", backend=place)
        looking = {model.with_parts(selector=each)._parts().scorer for each in SELECTORS}
        made.append((model, model.encode(clip, scorers=[each for each in looking if each])))
    return made[0], made[1]


@pytest.mark.parametrize(
    ("selector", "compressor"),
    [*((each, "pivotkv") for each in SELECTORS), *(("dpselect", each) for each in COMPRESSORS)],
)
def test_same_as_the_cpu(
    encoded: tuple[Encoded, Encoded], name: str, selector: str, compressor: str
) -> None:
    """Every selector and compressor keeps what it keeps on the CPU; logits and answer agree."""
    if name == "cpu":
        pytest.skip("it is what the others are compared with")
    ratio = None if compressor == "none" else 0.3
    (here, held), (there, wanted) = (
        _chosen(*each, selector=selector, compressor=compressor, keep_ratio=ratio)
        for each in encoded
    )
    for mine, theirs in zip(held.kept, wanted.kept, strict=True):
        assert mine.tolist() == theirs.tolist()
    torch.testing.assert_close(_logits(here, held), _logits(there, wanted), atol=1e-4, rtol=1e-4)
    other = "What happens?" if here.needs_question else "Which shape is red?"
    questions = ["What happens?", other]
    assert [each.text for each in here.ask_many(questions, held)] == [
        each.text for each in there.ask_many(questions, wanted)
    ]
    assert here.ask(questions[0], held).text == there.ask(questions[0], wanted).text


@pytest.mark.parametrize("family", models.names())
def test_every_family(
    family: str, clip: Path, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Every model family watches and answers as it does on the CPU."""
    if name == "cpu":
        pytest.skip("it is what the others are compared with")
    folder = MAKERS[family](tmp_path_factory.mktemp("families") / family)
    options = {"video": {"long_side": 112}, "generate": {"max_new_tokens": 5}}
    made = []
    for place in (name, "cpu"):
        model = retake.load(folder, backend=place, dtype="float32", keep_ratio=0.3, **options)
        memory = model.watch(clip)
        made.append((*(kept.tolist() for kept in memory.kept), model.ask("Why?", memory).text))
    assert made[0] == made[1]


def test_memories_travel(load: Callable[..., Any], clip: Path, name: str, tmp_path: Path) -> None:
    """A memory that was watched on one device is asked on another."""
    here = load(keep_ratio=0.3, dtype="float32", backend=name)
    held = here.watch(clip, questions=["What happens?"])
    path = held.save(tmp_path / "video.retake")
    there = load(keep_ratio=0.3, dtype="float32", backend="cpu")
    loaded = retake.load_memory(path)
    assert there.ask("What happens?", loaded).text == here.ask("What happens?", held).text


@pytest.mark.parametrize("ratio", [None, 0.4])
@pytest.mark.parametrize("selector", selectors.names())
def test_selectors_choose_alike(name: str, selector: str, ratio: float | None) -> None:
    """In bfloat16, as models give them, the same steps and pivots as on the CPU."""
    drawn = torch.randn(24, 6, 32, generator=torch.Generator().manual_seed(3)).bfloat16()
    device = make_backend(name, "sdpa").device
    times = torch.arange(24, dtype=torch.float64)
    fits = torch.rand(24, generator=torch.Generator().manual_seed(4))
    cls: Any = selectors.get(selector)
    takes = ratio and "keep_ratio" in attrs.fields_dict(cls)
    chooser: FrameSelector = cls(keep_ratio=ratio) if takes else cls()
    with torch.inference_mode():
        made, wanted = (
            chooser.select(VisualTokens(drawn.to(place), times, (2, 3), fits))
            for place in (device, "cpu")
        )
    assert made.features.device == device
    for part in ("rows", "steps", "patches", "pivots"):
        assert torch.equal(getattr(made, part).cpu(), getattr(wanted, part)), part
    torch.testing.assert_close(made.features.cpu(), wanted.features)


def test_random_numbers_are_given_back(name: str) -> None:
    """What is drawn from a seed is the same each time, and what comes after is as without it."""
    backend = make_backend(name, "sdpa")

    def drawn() -> list[float]:
        numbers: list[float] = torch.rand(3, device=backend.device).cpu().tolist()
        return numbers

    torch.manual_seed(5)
    plain = drawn() + drawn()
    torch.manual_seed(5)
    before = drawn()
    with backend.seeded(9):
        once = drawn()
    with backend.seeded(9):
        assert drawn() == once
    assert before + drawn() == plain
    assert once != plain[:3]


def test_counts_memory(name: str) -> None:
    """The peak since a reset covers what was allocated since, where the device can tell."""
    backend = make_backend(name, "sdpa")
    backend.reset_peak_memory()
    before = backend.peak_memory()
    if before is None or backend.on_host:
        pytest.skip("the device has no counter of its own")
    held = torch.ones(2**22, device=backend.device)
    backend.synchronize()
    assert backend.peak_memory() >= before + held.nbytes  # type: ignore[operator]
    del held
    backend.reset_peak_memory()
    assert backend.peak_memory() < before + 2**24  # type: ignore[operator]


def test_says_what_it_is(backend: Backend) -> None:
    """A report can name the device and its attention; the default dtype is a floating one."""
    assert backend.describe().startswith(str(backend.device))
    assert backend.kernel == "sdpa" or "eager" in backend.describe()
    assert backend.default_dtype.is_floating_point
