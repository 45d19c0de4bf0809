"""What every registered model family must do, on a tiny checkpoint in its real layout."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import retake
from retake.compressors.pivotkv import PivotKV
from retake.core.adapter import LoadOptions, ModelAdapter, Patches
from retake.core.tokens import Selection, VisualTokens
from retake.models import models
from tests.staging import Stage
from tests.tiny import MAKERS

NAMES = models.names()
_POLICIES = ("original", "reforge")


@pytest.fixture(scope="module", params=NAMES)
def family(request: pytest.FixtureRequest) -> str:
    """Each registered family's name."""
    assert request.param in MAKERS, "a family needs a tiny checkpoint: tests/tiny/__init__.py"
    return str(request.param)


@pytest.fixture(scope="module")
def folder(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random checkpoint of the family."""
    return MAKERS[family](tmp_path_factory.mktemp("families") / family)


@pytest.fixture(scope="module")
def adapter(family: str, folder: Path) -> ModelAdapter:
    """The checkpoint, loaded."""
    return models.get(family).load(folder, LoadOptions())


@pytest.fixture(scope="module")
def stage(adapter: ModelAdapter) -> Stage:
    """A random video of seven steps that are 0.7 seconds apart."""
    grid = adapter.token_grid(adapter.frame_size(60, 90, 90))
    return Stage.of(adapter, grid, steps=7, seconds_per_step=0.7)


def _frames(count: int, height: int = 60, width: int = 90) -> Tensor:
    random = torch.Generator().manual_seed(count)
    return torch.randint(0, 256, (count, height, width, 3), dtype=torch.uint8, generator=random)


def _loaded(folder: Path, **given: Any) -> retake.VideoModel:
    options = {"generate": {"max_new_tokens": 5}, "video": {"long_side": 112}, "keep_ratio": 0.25}
    return retake.load(folder, **{**options, **given})


def test_the_family_is_found(family: str, folder: Path) -> None:
    """`auto` picks the adapter by the configuration, and the adapter loads what it names."""
    model = _loaded(folder)
    assert model.config.model.adapter == family
    assert type(model.adapter) is models.get(family)
    assert model.adapter.model.config.model_type in model.adapter.model_types


def test_another_familys_checkpoint_is_refused(family: str, tmp_path: Path) -> None:
    """A checkpoint of a model type that the family does not have is named as such."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(retake.RetakeError, match=r"'llama'"):
        models.get(family).load(other, LoadOptions())


@pytest.mark.parametrize("count", [1, 4, 5])
def test_frames_become_tokens(adapter: ModelAdapter, count: int) -> None:
    """Frames of any number give the steps and the grid that the adapter announces."""
    size = adapter.frame_size(60, 90, 90)
    with torch.inference_mode():
        tokens = adapter.encode(adapter.preprocess(_frames(count), size))
    rows, columns = adapter.token_grid(size)
    width = adapter.embed(torch.zeros(1, 1, dtype=torch.long)).shape[-1]
    assert tokens.shape == (-(-count // adapter.frames_per_step), rows * columns, width)
    assert tokens.dtype == adapter.dtype
    assert tokens.isfinite().all()


def test_resizing_ahead_changes_nothing(adapter: ModelAdapter) -> None:
    """Frames resized one by one, as they are decoded, are preprocessed to the same values."""
    size = adapter.frame_size(60, 90, 90)
    frames = _frames(4)
    ahead = torch.cat([adapter.resize(frame[None], size) for frame in frames])
    assert ahead.shape == (4, *size, 3)
    mine, whole = adapter.preprocess(ahead, size), adapter.preprocess(frames, size)
    assert mine.grid == whole.grid
    assert torch.equal(mine.values, whole.values)


@pytest.mark.parametrize("steps_at_once", [1, 2, 3])
def test_encoding_in_slices_is_encoding_at_once(adapter: ModelAdapter, steps_at_once: int) -> None:
    """A step's tokens depend on that step alone."""
    patches = adapter.preprocess(
        _frames(4 * adapter.frames_per_step), adapter.frame_size(60, 90, 90)
    )
    steps = patches.grid[0]
    assert steps == 4
    each = len(patches.values) // steps
    with torch.inference_mode():
        whole = adapter.encode(patches)
        parts = [
            adapter.encode(Patches(part, (len(part) // each, *patches.grid[1:])))
            for part in patches.values.split(steps_at_once * each)
        ]
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-5, rtol=1e-5)


def test_positions_start_behind_the_text(stage: Stage) -> None:
    """Positions are whole numbers from the text's end on, and time does not run backwards."""
    start, positions = len(stage.prefix), stage.own_positions
    assert positions.shape == (stage.adapter.position_axes, len(stage.selection))
    assert positions.dtype == torch.int64
    assert (positions[:, 0] == start).all()
    assert (positions >= start).all()
    assert (positions[0].diff() >= 0).all()
    assert positions[0, -1] > start


@pytest.mark.parametrize("dropping", [False, True])
def test_positions_of_parts_are_those_of_the_whole(stage: Stage, dropping: bool) -> None:
    """A chunk is placed as it is within the whole video, also where a selector dropped steps."""
    selection = stage.selection
    if dropping:
        patches = selection.source[1]
        features = selection.features.reshape(7, patches, -1)
        tokens = VisualTokens(features, torch.arange(7).double(), stage.grid)
        selection = Selection.gather(tokens, torch.tensor([0, 2, 3, 6]))

    def placed(part: Selection) -> Tensor:
        seconds = part.steps.float() * 0.7
        return stage.adapter.video_positions(len(stage.prefix), part, stage.grid, seconds)

    cut = 2 * selection.source[1]
    parts = [selection.part(0, cut), selection.part(cut, len(selection))]
    assert torch.equal(torch.cat([placed(part) for part in parts], dim=1), placed(selection))


def test_the_prompt_goes_around_the_video(adapter: ModelAdapter) -> None:
    """What stands before the video does not depend on the question; the question is behind it."""
    prompts = [adapter.prompt(question) for question in ("One?", "Zwei Fragen? ¿Dos? 二つ")]
    assert prompts[0].prefix == prompts[1].prefix
    for prompt, question in zip(prompts, ("One?", "Zwei Fragen? ¿Dos? 二つ"), strict=True):
        assert question in adapter.tokenizer.decode(prompt.suffix)
        assert question not in adapter.tokenizer.decode(prompt.prefix)


@pytest.mark.parametrize("policy", _POLICIES)
@pytest.mark.parametrize("rows", [1, 2, 3, None])
def test_chunked_is_one_shot(stage: Stage, policy: str, rows: int | None) -> None:
    """With nothing evicted, the question's logits are the stock model's of one pass."""
    engine = stage.engine(positions=policy)
    got = stage.ask(engine, stage.prefill(engine, rows=rows))
    torch.testing.assert_close(got, stage.stock(), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("policy", _POLICIES)
def test_a_compressed_run(stage: Stage, policy: str) -> None:
    """Every layer keeps its share; its positions ascend from text to question; it repeats."""
    engine = stage.engine(PivotKV(), policy)
    share = stage.share(0.5)
    made = [stage.prefill(engine, rows=2, share=share) for _ in range(2)]
    logits = [stage.ask(engine, each) for each in made]
    assert torch.equal(logits[0], logits[1])
    assert logits[0].isfinite().all()
    closing = len(stage.adapter.after_video())
    for layer, kept in zip(made[0].cache.layers, made[0].kept, strict=True):
        assert len(kept) == len(stage.selection) // 2
        assert layer.length == len(stage.prefix) + len(kept) + closing
        times = layer.cached_positions()[0]
        assert (times.diff() >= 0).all()
        assert times[-1] <= made[0].next_position
    assert not torch.equal(logits[0], stage.stock())


def test_watching_and_asking(folder: Path, clip: Path) -> None:
    """A real file is watched within the budget, and the same run gives the same answer."""
    answers = []
    for _ in range(2):
        model = _loaded(folder)
        memory = model.watch(clip)
        answers.append(model.ask("What happens?").token_ids)
        compression = memory.compression
        assert compression.achieved_ratio == pytest.approx(0.25, abs=0.01)
        text = compression.text_tokens
        assert memory.cache.lengths() == [text + kept for kept in compression.tokens_kept]
    assert answers[0] == answers[1]


def test_a_budget_is_met(folder: Path, clip: Path) -> None:
    """Prompt, video, what closes it and the reserve together fit in what was asked."""
    memory = _loaded(folder, keep_ratio=None, budget=300).watch(clip)
    assert {length + memory.compression.reserved for length in memory.cache.lengths()} == {300}


def test_a_memory_is_saved_and_restored(folder: Path, clip: Path, tmp_path: Path) -> None:
    """A loaded memory answers as the one that was saved; so do several questions at once."""
    model = _loaded(folder)
    memory = model.watch(clip)
    answer = model.ask("What happens?", memory)
    restored = retake.load_memory(memory.save(tmp_path / "clip.retake"))
    again = _loaded(folder)
    assert again.ask("What happens?", restored).token_ids == answer.token_ids
    asked = again.ask_many(["What happens?", "Who?"], restored)
    assert asked[0].token_ids == answer.token_ids


def test_detached_the_model_is_as_before(folder: Path, clip: Path) -> None:
    """Weights, hooks, configuration and outputs are those from before watching, to the bit."""
    model = _loaded(folder)
    stock = model.adapter.model
    ids = torch.tensor([list(model.adapter.prompt("Why?").suffix)])
    with torch.inference_mode():
        before = stock(input_ids=ids).logits
    weights = copy.deepcopy(stock.state_dict())
    config = stock.config.to_dict()
    model.watch(clip)
    model.ask("What happens?")
    assert stock.config.to_dict() == config
    assert all(not module._forward_pre_hooks for module in stock.modules())
    assert all(not module._forward_hooks for module in stock.modules())
    assert all(torch.equal(weights[name], held) for name, held in stock.state_dict().items())
    with torch.inference_mode():
        assert torch.equal(stock(input_ids=ids).logits, before)


def test_attached_to_a_users_model(family: str, folder: Path, clip: Path) -> None:
    """A model that the user holds answers as one that retake loaded."""
    loaded = _loaded(folder)
    loaded.watch(clip)
    options = {"generate": {"max_new_tokens": 5}, "video": {"long_side": 112}, "keep_ratio": 0.25}
    attached = retake.attach(loaded.adapter.model, loaded.adapter.tokenizer, **options)
    assert attached.config.model.adapter == family
    attached.watch(clip)
    assert attached.ask("What happens?").token_ids == loaded.ask("What happens?").token_ids


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(folder: Path, clip: Path, dtype: str) -> None:
    """In 16 bits the memory is in that dtype, and an answer comes."""
    model = _loaded(folder, dtype=dtype)
    memory = model.watch(clip)
    assert {str(layer.keys.dtype) for layer in memory.cache.layers} == {f"torch.{dtype}"}
    assert model.ask("What happens?").token_ids


def test_it_says_what_it_is(family: str) -> None:
    """A family has a docstring, and names its paper."""
    cls = models.get(family)
    assert cls.__doc__
    assert cls.source.startswith("arXiv")
