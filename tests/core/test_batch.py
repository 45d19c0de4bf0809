"""Rows of a batch read one past, and come out as each would alone."""

from typing import Any

import pytest
import torch
from torch import Tensor

from retake.compressors.pivotkv import PivotKV
from retake.core import attention, shared_attention
from retake.core.arena import CACHE_ARGUMENT
from retake.core.attention import attend_eager
from retake.core.batch import asking_rows
from retake.core.engine import Engine
from retake.core.positions import position_policy
from retake.core.shared_attention import attend_shared

# Of one logit between a row of a batch and the same question alone, in float32.
_CLOSE = 2e-5
_WORDS = ("Why?", "Which of the colours that were shown before was the last one, then?", "When so?")


def _random(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def _inputs(groups: int, count: int, dtype: torch.dtype = torch.float32) -> tuple[Any, ...]:
    """Queries, past and own of 3 rows, 4 heads, a past of 11 pairs and 7 of each row's own."""
    past = (_random(1, groups, 11, 8, seed=1), _random(1, groups, 11, 8, seed=2))
    own = (_random(3, groups, 7, 8, seed=3), _random(3, groups, 7, 8, seed=4))
    queries = 3 * _random(3, 4, count, 8, seed=5)
    return (
        queries.to(dtype),
        tuple(part.to(dtype) for part in past),
        tuple(part.to(dtype) for part in own),
    )


def _alone(queries: Tensor, past: Any, own: Any, row: int, pad: int) -> Tensor:
    """The reference: the row's real tokens over a copy of the past with its own behind it."""
    keys, values = (
        torch.cat((before, mine[row : row + 1, :, pad:]), dim=2).float()
        for before, mine in zip(past, own, strict=True)
    )
    hidden = max(0, pad - (own[0].shape[2] - queries.shape[2]))
    return attend_eager(queries[row : row + 1, :, hidden:].float(), keys, values, 0.3)[0]


@pytest.mark.parametrize("elements", [1, 100, 10**6], ids=["blocks-of-one", "small", "one-block"])
@pytest.mark.parametrize("count", [1, 4, 7])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_attention_is_that_of_each_row(
    groups: int, count: int, elements: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the blocks, and whether few or all of the row's own tokens ask."""
    monkeypatch.setattr(attention, "_BLOCK_ELEMENTS", elements)
    queries, past, own = _inputs(groups, count)
    pads = (0, 2, 5)
    made = attend_shared(queries, past, own, torch.tensor(pads), 0.3)
    assert made.isfinite().all()
    for row, pad in enumerate(pads):
        expected = _alone(queries, past, own, row, pad)
        torch.testing.assert_close(made[row, :, -expected.shape[1] :], expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_attention_in_half_precision(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Computed in float32, part of the past after part, and rounded once."""
    monkeypatch.setattr(shared_attention, "_WIDENED", 4)
    queries, past, own = _inputs(2, 7, dtype)
    pads = torch.tensor([0, 2, 5])
    made = attend_shared(queries, past, own, pads, 0.3)
    assert made.dtype == dtype
    for row, pad in enumerate(pads.tolist()):
        expected = _alone(queries, past, own, row, pad)
        rounding = torch.finfo(dtype).eps
        torch.testing.assert_close(
            made[row, :, -expected.shape[1] :].float(), expected, rtol=rounding, atol=1e-6
        )


def test_attention_without_a_past() -> None:
    """A pad then sees only itself, and is finite all the same."""
    queries, past, own = _inputs(2, 7)
    none = tuple(part[:, :, :0] for part in past)
    made = attend_shared(queries, none, own, torch.tensor([0, 3, 6]), 0.3)
    assert made.isfinite().all()
    torch.testing.assert_close(made[1, :, 3:], _alone(queries, none, own, 1, 3))


def test_nobody_sees_a_pad() -> None:
    """Neither its key nor its value reaches a real token, to the bit."""
    queries, past, own = _inputs(2, 7)
    pads = torch.tensor([0, 2, 5])
    before = attend_shared(queries, past, own, pads, 0.3)
    for row, pad in enumerate(pads.tolist()):
        for part in own:
            part[row, :, :pad] = 1e4
    after = attend_shared(queries, past, own, pads, 0.3)
    for row, pad in enumerate(pads.tolist()):
        assert torch.equal(before[row, :, pad:], after[row, :, pad:])
    assert not torch.equal(before, after)


@pytest.fixture(params=["original", "reforge"])
def engine(stage: Any, request: pytest.FixtureRequest) -> Any:
    """An engine that compresses."""
    return stage.engine(PivotKV(), request.param)


@pytest.fixture
def prefilled(stage: Any, engine: Any) -> Any:
    """A video of which half is kept, not the same half in both layers."""
    made = stage.prefill(engine, rows=2, share=stage.share(0.5), spare=20)
    assert made.kept[0].tolist() != made.kept[1].tolist()
    return made


def _suffixes(stage: Any) -> list[tuple[int, ...]]:
    return [stage.adapter.prompt(words).suffix for words in _WORDS]


def _filled(suffixes: list[tuple[int, ...]], pads: tuple[int, ...]) -> Tensor:
    return torch.tensor([[0] * pad + list(row) for row, pad in zip(suffixes, pads, strict=True)])


def test_logits_are_those_of_each_alone(stage: Any, engine: Any, prefilled: Any) -> None:
    """Of every token of every question, and of tokens that are decoded behind it.

    Also where the layers' videos end at different positions.
    """
    with torch.inference_mode():
        prefilled.cache.layers[1].positions += 5
    suffixes, model = _suffixes(stage), stage.adapter.model
    answers = torch.tensor([[5, 9], [17, 3], [40, 41]])
    with asking_rows(engine, prefilled, [len(row) for row in suffixes], 2) as cache:
        pads = cache.pads
        made = model(input_ids=_filled(suffixes, pads), **{CACHE_ARGUMENT: cache}).logits.clone()
        for column in range(2):
            step = model(
                input_ids=answers[:, column : column + 1], **{CACHE_ARGUMENT: cache}
            ).logits
            made = torch.cat((made, step), dim=1)
    for row, suffix in enumerate(suffixes):
        with engine.asking(prefilled, len(suffix) + 2) as alone:
            ids = torch.tensor([[*suffix, *answers[row].tolist()]])
            expected = model(input_ids=ids, **{CACHE_ARGUMENT: alone}).logits[0]
        torch.testing.assert_close(made[row, pads[row] :], expected, atol=_CLOSE, rtol=0)


def test_past_is_shared(stage: Any, engine: Any, prefilled: Any) -> None:
    """Rows read the memory's own buffers, and allocate room for question and answer only."""
    suffixes = _suffixes(stage)
    room = 6
    with asking_rows(engine, prefilled, [len(row) for row in suffixes], room) as cache:
        stage.adapter.model(input_ids=_filled(suffixes, cache.pads), **{CACHE_ARGUMENT: cache})
        for layer, held in zip(cache.layers, prefilled.cache.layers, strict=True):
            assert layer.past[0].data_ptr() == held.keys.data_ptr()
            assert layer.past[1].data_ptr() == held.values.data_ptr()
            assert layer.past[0].shape[2] == held.length
        assert cache.get_seq_length() == prefilled.cache.get_seq_length() + max(map(len, suffixes))
        pair = held.keys[:, :, :1].nbytes + held.values[:, :, :1].nbytes
        columns = max(map(len, suffixes)) + room
        assert cache.own_bytes() == len(cache.layers) * len(suffixes) * columns * pair


def test_longer_answers_make_room(stage: Any, engine: Any, prefilled: Any) -> None:
    """Growing keeps what the rows have."""
    suffixes, model = _suffixes(stage), stage.adapter.model
    logits = []
    for room in (40, 0):
        with asking_rows(engine, prefilled, [len(row) for row in suffixes], room) as cache:
            model(input_ids=_filled(suffixes, cache.pads), **{CACHE_ARGUMENT: cache})
            for token in range(40):
                ids = torch.full((3, 1), token + 1)
                made = model(input_ids=ids, **{CACHE_ARGUMENT: cache}).logits
        logits.append(made.clone())
    torch.testing.assert_close(*logits, atol=_CLOSE, rtol=0)


def test_published_positions_are_refused(stage: Any) -> None:
    """They do not count on: a row could not be placed."""
    for name in ("original", "reforge"):
        policy = position_policy(name, published=True)
        engine = Engine(stage.adapter, PivotKV(), policy, stage.engine().backend)
        prefilled = stage.prefill(engine)
        with (
            pytest.raises(ValueError, match="cannot be asked in a batch"),
            asking_rows(engine, prefilled, [3, 4], 2),
        ):
            pass
