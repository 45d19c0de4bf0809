"""Videos encoded once; and what is kept for one question only."""

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch

import retake
from retake.scorers.colours import Colours

QUESTION = "What is shown?"


def _same(one: retake.VideoMemory, other: retake.VideoMemory) -> bool:
    """Whether two memories hold the same, to the bit."""
    pairs = zip(one.cache.layers, other.cache.layers, strict=True)
    return (
        all(map(np.array_equal, one.kept, other.kept))
        and all(
            torch.equal(a.keys[:, :, : a.length], b.keys[:, :, : b.length])
            and torch.equal(a.cached_positions(), b.cached_positions())
            for a, b in pairs
        )
        and (one.compression, one.frames, one.source)
        == (other.compression, other.frames, other.source)
    )


@pytest.mark.parametrize("selector", ["dpselect", "uniform"])
@pytest.mark.parametrize("given", [{"budget": 150}, {"keep_ratio": 0.3}])
def test_an_encoded_video_is_watched_like_the_file(
    load: Any, clip: Path, selector: str, given: dict[str, Any]
) -> None:
    """Whatever selects, and however much is kept; any number of times."""
    model = load(selector=selector, **given)
    encoded = model.encode(clip)
    want = model.watch(clip)
    assert _same(model.watch(encoded), want)
    assert _same(model.watch(encoded), want)
    assert [cost.name for cost in model.watch(encoded).costs] == [cost.name for cost in want.costs]


def test_other_parts_on_the_same_model(load: Any, clip: Path) -> None:
    """They come out as if loaded with them, and the first model stays as it is."""
    model = load(selector="none", compressor="none")
    before = model.config
    other = model.with_parts(selector="uniform", compressor="snapkv:window=8", keep_ratio=0.25)
    assert model.config == before
    assert other.adapter is model.adapter
    assert other.config.compressor.options["window"] == 8
    assert other.config.selector.options == {"keep_ratio": 0.5}
    want = load(selector="uniform", compressor="snapkv:window=8", keep_ratio=0.25)
    assert _same(other.watch(model.encode(clip)), want.watch(clip))


def test_a_ratio_replaces_a_budget(load: Any) -> None:
    """Of the two limits the one given last holds; none of either is left behind."""
    model = load(budget=100)
    assert model.with_parts(keep_ratio=0.5).config.prefill.budget is None
    assert model.with_parts(compressor="none").config.prefill.budget == 100
    with pytest.raises(retake.UsageError, match="evicts nothing"):
        model.with_parts(compressor="none", keep_ratio=0.5)


def test_another_model_refuses_it(load: Any, clip: Path) -> None:
    """Visual tokens belong to the model that made them."""
    encoded = retake.load().encode(clip)
    with pytest.raises(retake.UsageError, match="another model"):
        load().watch(encoded)
    with pytest.raises(retake.UsageError, match="encoded already"):
        load().encode(encoded)


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        ({"selector": "aks(colours)"}, "selector 'aks'"),
        ({"compressor": "adaretake"}, "compressor 'adaretake'"),
        ({"compressor": "pyramidkv(adaretake)"}, "compressor 'pyramidkv'"),
    ],
)
def test_one_question_at_a_time(
    load: Any, clip: Path, tmp_path: Path, parts: dict[str, str], kind: str
) -> None:
    """What looks at the question takes exactly one, answers no other, and is kept in no file."""
    model = load(keep_ratio=0.5, **parts)
    assert model.needs_question
    for questions in ((), (QUESTION, "Why?")):
        with pytest.raises(retake.UsageError, match=f"The {kind} looks for what is asked about"):
            model.watch(clip, questions=questions)
    memory = model.watch(clip, questions=[QUESTION])
    assert memory.question == QUESTION
    assert model.ask(QUESTION, memory).token_ids == model.ask_many([QUESTION], memory)[0].token_ids
    for ask in (lambda: model.ask("Why?", memory), lambda: model.ask_many(["Why?"], memory)):
        with pytest.raises(retake.UsageError, match="answers no other"):
            ask()
    with pytest.raises(retake.UsageError, match="one question only"):
        memory.save(tmp_path / "video.retake")
    assert not list(tmp_path.iterdir())


def test_the_question_decides(load: Any, clip: Path) -> None:
    """Other questions keep other tokens; the same one the same, from one encoding."""
    model = load(compressor="adaretake", selector="none", keep_ratio=0.2)
    encoded = model.encode(clip)
    one, again, other = (
        model.watch(encoded, questions=[each])
        for each in (QUESTION, QUESTION, "Which colour does the ring have, then?")
    )
    assert _same(one, again)
    assert not all(map(np.array_equal, one.kept, other.kept))


def test_scorers_that_did_not_look(load: Any, clip: Path) -> None:
    """A selector that needs a scorer says so where the video was encoded without it."""
    plain = load()
    encoded = plain.encode(clip)
    model = plain.with_parts(selector="topk-sim(colours)")
    with pytest.raises(retake.UsageError, match="encoded without"):
        model.watch(encoded, questions=["What is red?"])
    both = plain.encode(clip, scorers=[Colours()])
    want = load(selector="topk-sim(colours)").watch(clip, questions=["What is red?"])
    assert _same(model.watch(both, questions=["What is red?"]), want)


@attrs.frozen
class Wrong(retake.FrameTextScorer):
    """Rates as many frames as it likes."""

    def look(self, frames: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(frames), 1)

    def rate(self, seen: torch.Tensor, question: str) -> torch.Tensor:
        return torch.zeros(3)


def test_a_scorer_that_misbehaves(load: Any, clip: Path) -> None:
    """Its method is named."""
    model = load(selector=retake.selectors.get("aks")(scorer=Wrong()))
    with pytest.raises(
        retake.UsageError, match=r"Wrong\.rate\(\) must return a finite number for each"
    ):
        model.watch(clip, questions=[QUESTION])


def test_heads_that_differ(load: Any, clip: Path, tmp_path: Path) -> None:
    """They are asked, one question after the other, as any memory; but no file holds them."""
    model = load(compressor="adakv(pivotkv)", keep_ratio=0.3)
    memory = model.watch(clip)
    texts = [QUESTION, "Which colour does it have, then?"]
    alone = [model.ask(text, memory).token_ids for text in texts]
    assert [each.token_ids for each in model.ask_many(texts, memory)] == alone
    beams = model.ask(QUESTION, memory, num_beams=2)
    assert beams.text == model.ask(QUESTION, memory, num_beams=2).text
    with pytest.raises(retake.UsageError, match="heads hold different pairs"):
        memory.save(tmp_path / "video.retake")


def test_beams_over_heads_that_keep_the_same(load: Any, clip: Path) -> None:
    """Beams are put in order in every head's cache: what comes out is what one cache gives."""
    texts = []
    for compressor in ("uniform", "adakv(uniform):safeguard=1.0"):
        model = load(selector="none", compressor=compressor, keep_ratio=0.3)
        model.watch(clip)
        texts.append(model.ask(QUESTION, num_beams=4, max_new_tokens=12).token_ids)
    assert texts[0] == texts[1]


def test_layers_that_differ_are_kept_in_a_file(load: Any, clip: Path, tmp_path: Path) -> None:
    """A memory with layers of different lengths is saved, loaded and asked as it was."""
    model = load(compressor="pyramidkv(pivotkv)", keep_ratio=0.3)
    memory = model.watch(clip)
    assert len(set(memory.cache.lengths())) > 1
    loaded = retake.load_memory(memory.save(tmp_path / "video.retake"))
    assert loaded.cache.lengths() == memory.cache.lengths()
    texts = [QUESTION, "Which colour does it have, then?"]
    alone = [model.ask(text, memory).token_ids for text in texts]
    assert [model.ask(text, loaded).token_ids for text in texts] == alone
    assert [each.token_ids for each in model.ask_many(texts, loaded)] == alone
