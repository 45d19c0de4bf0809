"""The engine: chunked prefill is exact, compression stays within the budget, runs are alone."""

import itertools
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retake.compressors.pivotkv import PivotKV
from retake.core.arena import ArenaLayer
from retake.core.budget import share_of
from retake.core.chunks import chunks_of_rows, chunks_of_tokens

_SLOW = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def _close(got: torch.Tensor, want: torch.Tensor) -> None:
    torch.testing.assert_close(got, want, atol=2e-5, rtol=0)


@_SLOW
@given(tokens=st.integers(1, 48))
def test_chunks_do_not_matter(stage: Any, tokens: int) -> None:
    """Uncompressed, a video read in chunks of any size gives the stock model's logits."""
    engine = stage.engine()
    _close(stage.ask(engine, stage.prefill(engine, tokens=tokens)), stage.stock())


@_SLOW
@given(rows=st.integers(1, 9), steps=st.integers(1, 9))
def test_reforging_a_full_cache_changes_nothing(
    make_stage: Callable[..., Any], rows: int, steps: int
) -> None:
    """With everything kept, reforged positions are the model's own."""
    stage = make_stage(steps)
    engine = stage.engine(PivotKV(), "reforge")
    prefilled = stage.prefill(engine, rows=rows, share=stage.share(1.0))
    assert all(len(kept) == len(stage.selection) for kept in prefilled.kept)
    _close(stage.ask(engine, prefilled), stage.stock())


@_SLOW
@given(
    rows=st.integers(1, 9),
    left=st.integers(1, 60),
    positions=st.sampled_from(["original", "reforge"]),
)
def test_the_budget_is_never_exceeded(stage: Any, rows: int, left: int, positions: str) -> None:
    """Each layer holds the prompt and exactly what the budget leaves, at most the whole video."""
    budget = len(stage.prefix) + left
    share = share_of(
        video=len(stage.selection), text=len(stage.prefix), budget=budget, keep_ratio=None
    )
    engine = stage.engine(PivotKV(), positions)
    prefilled = stage.prefill(engine, rows=rows, share=share)
    want = min(budget, len(stage.prefix) + len(stage.selection))
    assert prefilled.cache.lengths() == [want] * len(prefilled.cache.layers)
    for layer, kept in zip(prefilled.cache.layers, prefilled.kept, strict=True):
        assert len(kept) == want - len(stage.prefix)
        assert (torch.tensor(kept).diff() > 0).all()
        assert len(layer.cached_positions()[0]) == want
        assert layer.room == layer.keys.shape[2]
    assert stage.ask(engine, prefilled).isfinite().all()


@pytest.mark.parametrize("positions", ["original", "reforge"])
def test_no_buffer_is_allocated_twice(
    stage: Any, positions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The room taken before the first chunk is enough for the last one."""
    grown: list[int] = []
    make_room = ArenaLayer._make_room

    def watched(layer: ArenaLayer, needed: int) -> None:
        before = layer.room
        make_room(layer, needed)
        grown.append(layer.room - before)

    monkeypatch.setattr(ArenaLayer, "_make_room", watched)
    engine = stage.engine(PivotKV(), positions)
    stage.prefill(engine, rows=3, share=stage.share(0.3))
    assert len(grown) > 0
    assert max(grown) == 0


def test_pivots_are_kept_first(stage: Any) -> None:
    """With room for them, every pivot of a chunk survives in every layer."""
    engine = stage.engine(PivotKV(), "reforge")
    prefilled = stage.prefill(engine, rows=4, share=stage.share(0.75))
    pivots = set(stage.selection.pivots.nonzero()[:, 0].tolist())
    assert pivots
    for kept in prefilled.kept:
        assert pivots <= set(kept.tolist())


def test_positions_stay_within_the_kept(stage: Any) -> None:
    """Reforged, a quarter of the video takes about a quarter of its time."""
    engine = stage.engine(PivotKV(), "reforge")
    prefilled = stage.prefill(engine, rows=2, share=stage.share(0.25))
    for layer in prefilled.cache.layers:
        time = layer.cached_positions()[0]
        assert (time.diff() >= 0).all()
        assert time[-1] < stage.own_positions[0].max()
    plain = stage.engine(PivotKV(), "original")
    prefilled = stage.prefill(plain, rows=2, share=stage.share(0.25))
    for layer, kept in zip(prefilled.cache.layers, prefilled.kept, strict=True):
        want = stage.own_positions[:, torch.tensor(kept)]
        assert torch.equal(layer.cached_positions()[:, len(stage.prefix) :], want)


def test_a_chunk_may_keep_nothing(stage: Any) -> None:
    """With fewer tokens to keep than chunks, some chunks vanish altogether."""
    share = share_of(video=len(stage.selection), text=0, budget=2, keep_ratio=None)
    for positions in ("original", "reforge"):
        engine = stage.engine(PivotKV(), positions)
        prefilled = stage.prefill(engine, rows=1, share=share)
        assert all(len(kept) == 2 for kept in prefilled.kept)
        assert stage.ask(engine, prefilled).isfinite().all()


def test_without_text_before_the_video(stage: Any) -> None:
    """A prompt that starts with the video works."""
    bare = attrs.evolve(stage, prefix=stage.prefix[:0])
    engine = bare.engine()
    _close(bare.ask(engine, bare.prefill(engine, rows=3)), bare.stock())


def test_runs_are_deterministic_and_alone(stage: Any, make_stage: Callable[..., Any]) -> None:
    """Another video in between changes nothing, to the bit."""
    other = make_stage(steps=5, seed=9)
    engine = stage.engine(PivotKV(), "reforge")

    def run(what: Any) -> tuple[torch.Tensor, list[list[int]]]:
        prefilled = what.prefill(engine, rows=2, share=what.share(0.4))
        return what.ask(engine, prefilled), [kept.tolist() for kept in prefilled.kept]

    first = run(stage)
    between = run(other)
    second = run(stage)
    assert torch.equal(first[0], second[0])
    assert first[1] == second[1]
    assert not torch.equal(first[0], between[0])


def test_asking_twice_is_asking_once(stage: Any) -> None:
    """The second question gets what the first one got; the memory stays as it was, to the bit."""
    engine = stage.engine(PivotKV(), "reforge")
    prefilled = stage.prefill(engine, rows=2, share=stage.share(0.4), spare=99)
    before = [
        (layer.keys[:, :, : layer.length].clone(), layer.values[:, :, : layer.length].clone())
        for layer in prefilled.cache.layers
    ]
    first = stage.ask(engine, prefilled)
    assert torch.equal(first, stage.ask(engine, prefilled))
    for layer, (keys, values) in zip(prefilled.cache.layers, before, strict=True):
        assert torch.equal(layer.keys[:, :, : layer.length], keys)
        assert torch.equal(layer.values[:, :, : layer.length], values)


@pytest.mark.parametrize(
    ("rows", "size", "want"),
    [
        ([0, 0, 1, 1, 2], 1, [(0, 2), (2, 4), (4, 5)]),
        ([0, 0, 1, 1, 2], 2, [(0, 4), (4, 5)]),
        ([0, 0, 1, 1, 2], 9, [(0, 5)]),
        # a row with no tokens makes no empty chunk
        ([0, 3, 3], 1, [(0, 1), (1, 3)]),
        ([2, 2], 2, [(0, 2)]),
    ],
)
def test_chunks_of_rows(rows: list[int], size: int, want: list[tuple[int, int]]) -> None:
    """Chunks are whole steps and cover everything."""
    assert chunks_of_rows(torch.tensor(rows), size) == want


@given(st.integers(1, 300), st.integers(1, 400))
def test_chunks_of_tokens(count: int, size: int) -> None:
    """Chunks follow one another, are as large as asked and cover everything."""
    chunks = chunks_of_tokens(count, size)
    assert chunks[0][0] == 0
    assert chunks[-1][1] == count
    assert all(a[1] == b[0] for a, b in itertools.pairwise(chunks))
    assert all(stop - start == size for start, stop in chunks[:-1])
