"""Many questions in one batch are answered as each is alone, and change nothing."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import retake
from retake import asking
from retake.core import batch as batches
from retake.core.arena import CACHE_ARGUMENT
from retake.core.engine import Prefilled

QUESTIONS = (
    "What?",
    "Which of all the colours that were shown in the first half came last, and which before?",
    "When does it end?",
    "Is there, somewhere near the lower edge, a shape that was not there at the beginning?",
    "Where to?",
)
_LONG = {"max_new_tokens": 20}


def _pairs(memory: retake.VideoMemory) -> list[Tensor]:
    """Copies of what a memory holds."""
    return [
        held.clone()
        for layer in memory.cache.layers
        for held in (
            layer.keys[:, :, : layer.length],
            layer.values[:, :, : layer.length],
            layer.cached_positions(),
        )
    ]


def _told(answer: retake.Answer) -> tuple[Any, ...]:
    """All of an answer but its times and costs."""
    return (
        answer.text,
        answer.question,
        answer.token_ids,
        answer.prompt_tokens,
        answer.cache_tokens,
        answer.over_budget,
        answer.alternatives,
        answer.generation,
        answer.seed,
    )


def _alone(model: retake.VideoModel, memory: retake.VideoMemory, **options: Any) -> list[Any]:
    return [_told(model.ask(question, memory, **options)) for question in QUESTIONS]


def _together(model: retake.VideoModel, memory: retake.VideoMemory, **options: Any) -> list[Any]:
    return [_told(answer) for answer in model.ask_many(QUESTIONS, memory, **options)]


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many questions each batch had, of those that were really asked in a batch."""
    found: list[int] = []

    @contextmanager
    def counting(engine: Any, prefilled: Any, lengths: Any, room: int) -> Iterator[Any]:
        found.append(len(lengths))
        with batches.asking_rows(engine, prefilled, lengths, room) as cache:
            yield cache

    monkeypatch.setattr(asking, "asking_rows", counting)
    return found


@pytest.mark.parametrize("positions", ["reforge", "original"])
@pytest.mark.parametrize("groups", [4, 2, 1], ids=["mha", "gqa", "mqa"])
def test_same_answers_as_alone(
    make_checkpoint: Callable[..., Path],
    tmp_path: Path,
    clip: Path,
    sizes: list[int],
    groups: int,
    positions: str,
) -> None:
    """For every way of sharing heads, both position policies, and batches of every size."""
    folder = make_checkpoint(tmp_path / "model", num_key_value_heads=groups, num_hidden_layers=3)
    model = retake.load(
        folder, keep_ratio=0.3, generate=_LONG, prefill={"positions": positions}, video={"fps": 1}
    )
    memory = model.watch(clip)
    before = _pairs(memory)
    expected = _alone(model, memory)
    assert len({told[2] for told in expected}) == len(QUESTIONS)
    for batch in (1, 2, 3, 4, 5, 99, None):
        assert _together(model, memory, batch=batch) == expected
    assert sizes == [2, 2, 3, 2, 4, 5, 5, 5]
    assert all(torch.equal(a, b) for a, b in zip(before, _pairs(memory), strict=True))


def test_embedded_model(tmp_path: Path) -> None:
    """Real answers, of which some end early; also from a file, and with a budget."""
    model = retake.load(budget=150)
    clip = Path(retake.__file__).parent / "models" / "embedded" / "clips" / "short.mp4"
    memory = model.watch(clip)
    questions = [
        "What colour is the flashed circle?",
        "Did a red shape flash?",
        "Which one was it? " * 8 + "What colour is the flashed star?",
        "Why?",
    ]
    expected = [_told(model.ask(question)) for question in questions]
    assert [_told(answer) for answer in model.ask_many(questions)] == expected
    loaded = retake.load_memory(memory.save(tmp_path / "short.retake"))
    assert [_told(answer) for answer in model.ask_many(questions, loaded)] == expected
    assert expected[2][5] > 0 == expected[3][5]


def _ending_early(model: retake.VideoModel, memory: retake.VideoMemory) -> int:
    """A token that ends one question's answer at once, and another's late or never."""
    rows = [model.ask(question, memory, **_LONG).token_ids for question in QUESTIONS]
    for token in rows[0][:2]:
        places = [row.index(token) if token in row else len(row) for row in rows]
        if max(places) > 15:
            return token
    raise AssertionError("choose another seed: all answers begin alike")


@pytest.mark.parametrize("ends", ["one", "several"])
def test_one_row_ends_long_before_the_others(load: Any, clip: Path, ends: str) -> None:
    """It is cut behind its own end, and has times of its own."""
    model = load(keep_ratio=0.3, generate=_LONG)
    memory = model.watch(clip)
    token = _ending_early(model, memory)
    given = model.adapter.model.generation_config
    given.eos_token_id = token if ends == "one" else [260, token]
    expected = _alone(model, memory)
    lengths = [len(told[2]) for told in expected]
    assert lengths[0] <= 2
    assert max(lengths) > 15
    answers = model.ask_many(QUESTIONS, memory)
    assert [_told(answer) for answer in answers] == expected
    assert answers[0].token_ids[-1] == token
    for answer in answers:
        assert (answer.token_seconds is None) == (len(answer.token_ids) == 1)
    assert len({answer.first_token_seconds for answer in answers}) == 1


def test_costs_add_up(load: Any, clip: Path) -> None:
    """Each answer has an equal share of the batch's time, and the batch's first token."""
    model = load(keep_ratio=0.3)
    model.watch(clip)
    answers = model.ask_many(QUESTIONS)
    shares = {answer.cost.seconds for answer in answers}
    assert len(shares) == 1
    assert sum(answer.cost.seconds for answer in answers) > answers[0].first_token_seconds > 0
    assert answers[0].cost.name == "answer"


def test_penalty_counts_no_pads(load: Any, clip: Path, sizes: list[int]) -> None:
    """A checkpoint that penalises repetition does so for what each row really holds."""
    model = load(keep_ratio=0.3, generate=_LONG)
    memory = model.watch(clip)
    plain = _alone(model, memory)
    given = model.adapter.model.generation_config
    given.repetition_penalty = 1.5
    # The pad token is one that is often said.
    given.pad_token_id = plain[0][2][-1]
    penalised = _alone(model, memory)
    assert [told[2] for told in penalised] != [told[2] for told in plain]
    assert _together(model, memory) == penalised
    assert sizes == [5]


@pytest.mark.parametrize(
    "options",
    [
        {"do_sample": True, "temperature": 1.5},
        {"num_beams": 2},
        {"extra": {"no_repeat_ngram_size": 2}},
        {"extra": {"min_new_tokens": 3}},
    ],
    ids=str,
)
def test_other_decoding_goes_one_by_one(
    load: Any, clip: Path, sizes: list[int], options: dict[str, Any]
) -> None:
    """With the results of `ask`."""
    model = load(keep_ratio=0.3)
    memory = model.watch(clip)
    assert _together(model, memory, **options) == _alone(model, memory, **options)
    assert sizes == []


def test_settings_of_the_checkpoint_that_look_back_go_one_by_one(
    load: Any, clip: Path, sizes: list[int]
) -> None:
    """They would take pads for text."""
    model = load(keep_ratio=0.3, generate=_LONG)
    memory = model.watch(clip)
    model.adapter.model.generation_config.no_repeat_ngram_size = 2
    assert _together(model, memory) == _alone(model, memory)
    assert sizes == []


@pytest.mark.parametrize("positions", ["reforge", "original"])
def test_published_positions_go_one_by_one(
    load: Any, clip: Path, sizes: list[int], positions: str
) -> None:
    """They do not count on."""
    model = load(keep_ratio=0.3, prefill={"reference": True, "positions": positions})
    memory = model.watch(clip)
    assert _together(model, memory) == _alone(model, memory)
    assert sizes == []


def test_answers_longer_than_the_room(
    load: Any, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows make more as they grow."""
    model = load(keep_ratio=0.3, generate={"max_new_tokens": 60})
    memory = model.watch(clip)
    expected = _alone(model, memory)
    monkeypatch.setattr(asking, "ANSWER_ROOM", 3)
    assert _together(model, memory) == expected


def _logits(model: retake.VideoModel, memory: retake.VideoMemory) -> tuple[list[Tensor], Tensor]:
    """Of the last token of every question: asked alone, and in a batch."""
    one = asking.Asking(model._parts(), memory, model.config.generate)
    prefilled = Prefilled(memory.cache, memory.next_position, memory.kept)
    suffixes = [model.adapter.prompt(question).suffix for question in QUESTIONS]
    alone = []
    for suffix in suffixes:
        with one._engine.asking(prefilled, len(suffix)) as cache:
            ids = torch.tensor([suffix])
            made = model.adapter.model(input_ids=ids, **{CACHE_ARGUMENT: cache}).logits
            alone.append(made[0, -1].float().clone())
    with batches.asking_rows(one._engine, prefilled, [len(s) for s in suffixes], 0) as rows:
        filled = [[0] * pad + list(s) for pad, s in zip(rows.pads, suffixes, strict=True)]
        made = model.adapter.model(input_ids=torch.tensor(filled), **{CACHE_ARGUMENT: rows}).logits
        return alone, made[:, -1].float().clone()


@pytest.mark.parametrize(("dtype", "close"), [("float32", 2e-5), ("bfloat16", 0.05)])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_logits_are_close(load: Any, clip: Path, dtype: str, close: float, attention: str) -> None:
    """In bfloat16 as close as its rounding lets two ways of computing the same be."""
    model = load(keep_ratio=0.3, dtype=dtype, attention=attention)
    alone, together = _logits(model, model.watch(clip))
    for single, row in zip(alone, together, strict=True):
        assert single.abs().max() > 1
        torch.testing.assert_close(row, single, atol=close, rtol=0)


@pytest.mark.parametrize("call", [1, 2, 9])
def test_failing_in_the_middle(
    load: Any, clip: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    """In the first layer, behind it, while decoding: the memory and the model are as before."""
    model = load(keep_ratio=0.3)
    memory = model.watch(clip)
    before, lengths = _pairs(memory), memory.cache.lengths()
    expected = _alone(model, memory)
    text = model.adapter.model.config.text_config
    implementation, real, calls = text._attn_implementation, batches.attend_shared, []

    def failing(*given: Any) -> Tensor:
        calls.append(given)
        if len(calls) == call:
            raise RuntimeError("the device is gone")
        return real(*given)

    monkeypatch.setattr(batches, "attend_shared", failing)
    with pytest.raises(RuntimeError, match="the device is gone"):
        model.ask_many(QUESTIONS, memory)
    assert len(calls) == call
    assert memory.cache.lengths() == lengths
    assert all(torch.equal(a, b) for a, b in zip(before, _pairs(memory), strict=True))
    assert not any(module._forward_pre_hooks for module in model.adapter.model.modules())
    assert text._attn_implementation == implementation
    assert model.adapter.model.model.rope_deltas is None
    assert _alone(model, memory) == _together(model, memory) == expected


def test_what_the_model_remembers_of_another_batch(load: Any, clip: Path) -> None:
    """The user's own calls leave a state in the model; it is neither used nor lost."""
    model = load(keep_ratio=0.3)
    memory = model.watch(clip)
    expected = _alone(model, memory)
    theirs = torch.full((3, 1), 7)
    model.adapter.model.model.rope_deltas = theirs
    assert _together(model, memory) == expected
    assert model.adapter.model.model.rope_deltas is theirs


def test_threads_ask_one_memory(load: Any, clip: Path) -> None:
    """Batches and single questions take turns."""
    model = load(keep_ratio=0.3)
    memory = model.watch(clip)
    expected = _alone(model, memory)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(way, model, memory) for way in (_alone, _together) * 3]
    assert [each.result() for each in asked] == [expected] * 6


@pytest.mark.parametrize(
    ("questions", "options", "message"),
    [
        ("What?", {}, "takes a list of questions, got 'What\\?'"),
        (7, {}, "takes a list of questions, got 7"),
        (["What?", " "], {}, "The question is empty"),
        (["What?", 3], {}, "A question is text, got 3"),
        (["What?"], {"batch": 0}, "batch must be at least 1"),
        (["What?"], {"batch": True}, "batch must be at least 1"),
        (["What?"], {"batch": 1.5}, "batch must be at least 1"),
        (["What?"], {"streamer": object()}, "Unknown generate option 'streamer'"),
        (["What?"], {"max_tokens": 3}, "Did you mean 'max_new_tokens'"),
    ],
)
def test_wrong_requests(
    load: Any, clip: Path, questions: Any, options: dict[str, Any], message: str
) -> None:
    """Each is an error of usage, that says what would be right."""
    model = load(keep_ratio=0.3)
    model.watch(clip)
    with pytest.raises(retake.UsageError, match=message):
        model.ask_many(questions, **options)


def test_nothing_to_ask(load: Any, clip: Path) -> None:
    """No questions have no answers; no video is an error all the same."""
    model = load(keep_ratio=0.3)
    with pytest.raises(retake.UsageError, match="No video was watched yet"):
        model.ask_many([])
    model.watch(clip)
    assert model.ask_many([]) == []
    assert [answer.question for answer in model.ask_many(("What?",))] == ["What?"]
