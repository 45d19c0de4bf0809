"""Watching as a stream: the same to the bit as with everything held, and nothing held."""

import gc
import hashlib
import os
import threading
import weakref
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import attrs
import numpy as np
import pytest
import torch
from torch import Tensor

import retake
from retake import watching
from retake.backends.cpu import CPU
from retake.core.arena import ArenaLayer
from retake.core.engine import Prefill
from retake.core.errors import PartError
from retake.core.frames import FrameBatch, slices_of
from retake.selectors.dpselect import DPSelect
from retake.selectors.none import NoSelection
from retake.video import open_video
from retake.video.pyav_reader import PyAVReader

QUESTION = "What is shown?"


@attrs.frozen
class HoldAll(DPSelect):
    """DPSelect shown the whole video at once."""

    @property
    def lookahead(self) -> int | None:
        return None


def _held(memory: retake.VideoMemory) -> list[Tensor]:
    """Copies of what a memory holds."""
    return [
        tensor.clone()
        for layer in memory.cache.layers
        for tensor in (
            layer.keys[:, :, : layer.length],
            layer.values[:, :, : layer.length],
            layer.cached_positions(),
        )
    ]


def _stream(
    count: int, *, height: int = 56, width: int = 84, batch: int = 7
) -> Iterator[FrameBatch]:
    """Frames of noise that moves on, two a second."""
    noise = torch.Generator().manual_seed(3)
    for start in range(0, count, batch):
        numbers = np.arange(start, min(count, start + batch))
        frames = torch.randint(
            0, 256, (len(numbers), height, width, 3), dtype=torch.uint8, generator=noise
        )
        yield FrameBatch(frames, numbers, numbers / 2)


@pytest.mark.parametrize("limit", [{"budget": 150}, {"keep_ratio": 0.3}])
@pytest.mark.parametrize("positions", ["reforge", "original"])
@pytest.mark.parametrize("chunk_frames", [6, 32])
def test_streaming_is_exact(
    load: Any, clip: Path, limit: dict[str, Any], positions: str, chunk_frames: int
) -> None:
    """Keys, values, positions and answers are those of the unstreamed path, to the bit."""
    prefill = {"positions": positions, "chunk_frames": chunk_frames}
    streaming = load(selector=DPSelect(), prefill=prefill, **limit)
    holding = load(selector=HoldAll(), prefill=prefill, **limit)
    one, other = streaming.watch(clip), holding.watch(clip)
    assert all(map(torch.equal, _held(one), _held(other)))
    assert one.next_position == other.next_position
    assert all(map(np.array_equal, one.kept, other.kept))
    assert attrs.evolve(one.compression, kv_bytes_reserved=0) == attrs.evolve(
        other.compression, kv_bytes_reserved=0
    )
    assert one.frames == other.frames
    assert streaming.ask(QUESTION).token_ids == holding.ask(QUESTION).token_ids


def test_prefill_begins_before_decoding_ends(load: Any, clip: Path) -> None:
    """Stages alternate: tokens are prefilled while most frames are still to come."""
    told: list[tuple[str, int, int]] = []
    load(keep_ratio=0.5, prefill={"chunk_frames": 8}).watch(
        clip, progress=lambda *step: told.append(step)
    )
    first = next(number for number, step in enumerate(told) if step[0] == "prefill")
    assert told[first - 1][:2] == ("watch", 32)
    assert told[-1][0] == "prefill"
    assert told[-1][1] == told[-1][2]
    assert [step for step in told if step[0] == "watch"][-1] == ("watch", 80, 80)


def test_pixels_are_let_go(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the video: the frames alive are those of a slice and what is read ahead."""
    alive: weakref.WeakSet[FrameBatch] = weakref.WeakSet()
    most = [0]
    encode = retake.ModelAdapter.encode_frames

    def watched(self: Any, batch: FrameBatch, size: tuple[int, int]) -> Tensor:
        gc.collect()
        most[0] = max(most[0], sum(len(each) for each in alive))
        return encode(self, batch, size)

    def followed(batches: Iterator[FrameBatch]) -> Iterator[FrameBatch]:
        for batch in batches:
            alive.add(batch)
            yield batch
            del batch

    monkeypatch.setattr(retake.ModelAdapter, "encode_frames", watched)
    load(selector="ma-lmm", keep_ratio=0.5).watch(followed(_stream(320)))
    assert 0 < most[0] <= 2 * 32


def test_the_arena_is_taken_once(load: Any, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Budget and one chunk, question and answer: never more, and never copied to larger ones."""
    moved: list[int] = []
    move = ArenaLayer._move
    monkeypatch.setattr(
        ArenaLayer, "_move", lambda layer, room: (moved.append(room), move(layer, room))
    )
    memory = load(budget=150, prefill={"chunk_frames": 8, "reserve": 20}).watch(clip)
    layer = memory.cache.layers[0]
    chunk = 4 * memory.compression.tokens_per_step
    assert not moved
    assert layer.room == 150 + chunk + 6  # and the answer
    assert memory.compression.kv_bytes_reserved == sum(
        held.keys.nbytes + held.values.nbytes for held in memory.cache.layers
    )


def test_a_stream_of_unknown_length(load: Any) -> None:
    """Its end is not known: the budget is kept at every moment, and it says how."""
    model = load(budget=150, prefill={"chunk_frames": 8, "reserve": 20})
    memory = model.watch(_stream(400))
    limit = 150 - 20
    assert all(limit // 2 - 30 <= length <= limit for length in memory.cache.lengths())
    assert memory.compression.notes[0] == "How long the video would be was not known beforehand."
    assert "thinned evenly" in memory.compression.notes[1]
    assert len(memory.frames.indices) == 400
    assert memory.video is None
    for kept, layer in zip(memory.kept, memory.cache.layers, strict=True):
        assert (np.diff(kept) > 0).all()
        assert len(kept) == layer.length - memory.compression.text_tokens
        # Every part of the video is still in reach.
        assert kept[0] < memory.compression.tokens_selected // 8
        assert kept[-1] > memory.compression.tokens_selected * 7 // 8
        assert (layer.cached_positions()[0].diff() >= 0).all()
    assert model.ask(QUESTION, memory).text is not None


@pytest.mark.parametrize(("said", "came"), [(200, 200), (200, 120), (100, 200)])
def test_a_stream_of_expected_length(load: Any, said: int, came: int) -> None:
    """Right: as of a file. Shorter or longer: within the budget, and it says so."""
    model = load(budget=150, prefill={"chunk_frames": 8, "reserve": 20})
    memory = model.watch(_stream(came), expected_frames=said)
    assert max(memory.cache.lengths()) <= 130
    video = 130 - memory.compression.text_tokens
    if said == came:
        assert set(memory.cache.lengths()) == {130}
        assert memory.compression.notes == ()
        return
    assert f"{came} frames came where {said} were planned." in memory.compression.notes
    # Too long: the planned share of what came. Too short: no less than half of what fits.
    least = video * came // said if came < said else video // 2 - 30
    assert all(len(kept) >= least - 1 for kept in memory.kept)
    if len(memory.kept[0]) < video:
        assert f"where the budget has room for {video}" in memory.compression.notes[-1]


@attrs.frozen
class Late(NoSelection):
    """Keep every other step after a time; nothing before."""

    after: float = 20.0
    whole: bool = False

    @property
    def lookahead(self) -> int | None:
        return None if self.whole else 0

    def select(self, tokens: retake.VisualTokens) -> retake.Selection:
        # By time, so that what is said of a step does not depend on the window.
        wanted = (tokens.timestamps >= self.after) & (tokens.timestamps.round() % 2 == 0)
        return retake.Selection.gather(tokens, wanted.nonzero()[:, 0])


def test_a_selector_that_drops_steps_as_they_come(load: Any, clip: Path) -> None:
    """It may choose nothing of a window, and with a ratio it keeps what it keeps unstreamed."""
    one, other = (load(selector=Late(whole=w), keep_ratio=0.5).watch(clip) for w in (False, True))
    assert one.compression.steps_dropped == other.compression.steps_dropped == 30
    assert len(one.kept[0]) == len(other.kept[0])
    assert all(map(torch.equal, _held(one), _held(other)))


def test_a_budget_with_a_selector_that_drops_steps(load: Any) -> None:
    """How many it will select is judged by those so far: every part of the video is kept."""
    model = load(selector=Late(after=0), budget=100, prefill={"chunk_frames": 8, "reserve": 20})
    memory = model.watch(_stream(400), expected_frames=400)
    room = 80 - memory.compression.text_tokens
    selected = memory.compression.tokens_selected
    quarters = np.histogram(memory.kept[0], bins=4, range=(0, selected))[0]
    assert len(memory.kept[0]) == room
    assert min(quarters) >= room // 4 - 3


def test_a_selector_that_selects_nothing(load: Any, clip: Path) -> None:
    """Streamed or not: an error that names it."""
    for whole in (False, True):
        with pytest.raises(retake.UsageError, match="selected nothing of 40 steps"):
            load(selector=Late(after=1e9, whole=whole), keep_ratio=0.5).watch(clip)


def test_batches_of_a_stream_do_not_matter(load: Any) -> None:
    """The same frames in other pieces give the same memory, to the bit."""
    frames = FrameBatch.joined(list(_stream(90)))
    pieces = [
        [FrameBatch(frames.frames[a:b], frames.indices[a:b], frames.timestamps[a:b])
         for a, b in pairwise(cuts)]
        for cuts in ([0, 90], [0, 1, 2, 33, 70, 90])
    ]  # fmt: skip
    model = load(keep_ratio=0.3)
    one, other = (_held(model.watch(each, expected_frames=90)) for each in pieces)
    assert all(map(torch.equal, one, other))


def test_a_file_and_its_frames_are_the_same(load: Any, clip: Path) -> None:
    """A stream of a file's frames gives the file's memory."""
    model = load(keep_ratio=0.3)
    want = _held(model.watch(clip))
    with open_video(clip) as reader:
        indices = model._memory.frames.indices
        got = _held(model.watch(reader.read(indices), expected_frames=80))
    assert all(map(torch.equal, got, want))


def test_the_file_is_known_by_its_hash(load: Any, clip: Path, tmp_path: Path) -> None:
    """Its size and SHA-256; and where it changes meanwhile, a note and no hash."""
    model = load(keep_ratio=0.3)
    source = model.watch(clip).source
    assert source.bytes == clip.stat().st_size
    assert source.sha256 == hashlib.sha256(clip.read_bytes()).hexdigest()
    copy = tmp_path / "growing.mp4"
    copy.write_bytes(clip.read_bytes())
    changed = model.watch(copy, progress=lambda *_: os.utime(copy, (1, 1)))
    assert changed.source is None
    assert any("changed while it was watched" in note for note in changed.frames.notes)


def test_wrong_streams(load: Any) -> None:
    """Frames out of order or of another size, things that are no frames, nothing at all."""
    model = load(keep_ratio=0.5)
    first, second = list(_stream(14))
    with pytest.raises(retake.UsageError, match="must ascend"):
        model.watch([second, first])
    with pytest.raises(retake.UsageError, match="84x56 came first, then 56x56"):
        model.watch([first, attrs.evolve(second, frames=second.frames[:, :, :56])])
    with pytest.raises(retake.UsageError, match="consists of FrameBatch objects, got a ndarray"):
        model.watch([np.zeros((2, 56, 56, 3))])
    with pytest.raises(retake.UsageError, match="consists of FrameBatch objects, got a str"):
        model.watch([first, "frame"])
    with pytest.raises(retake.UsageError, match="consists of FrameBatch objects, got a NoneType"):
        model.watch([None, first])
    endless = attrs.evolve(second, timestamps=np.full(7, np.inf))
    with pytest.raises(retake.UsageError, match="must not descend"):
        model.watch([first, endless])
    for wrong in (0, -5, 50.5, "abc"):
        with pytest.raises(retake.UsageError, match="expected_frames is a number of frames"):
            model.watch([first], expected_frames=wrong)
    with pytest.raises(retake.UsageError, match="A memory is what watch"):
        model.ask(QUESTION, "s.retake")
    with pytest.raises(retake.UsageError, match="a path or a stream"):
        model.watch(7)
    with pytest.raises(retake.VideoError, match="gave no frames"):
        model.watch([])
    with pytest.raises(retake.UsageError, match="expected_frames is for a stream"):
        model.watch("video.mp4", expected_frames=3)


class _LosesFrames:
    """Makes PyAV fail at some frames."""

    lost: ClassVar[set[int]] = {4, 5}

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        settled = PyAVReader._settled

        def failing(reader: PyAVReader, index: int) -> Any:
            frame, reason = settled(reader, index)
            return (None, "test damage") if index // 8 in self.lost else (frame, reason)

        monkeypatch.setattr(PyAVReader, "_settled", failing)


def test_lost_frames_leave_the_budget_used(
    load: Any, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames that cannot be had make room for others, always the same, and are reported."""
    _LosesFrames(monkeypatch)
    model = load(
        budget=150,
        video={"reader": "pyav", "on_bad_frame": "report"},
        prefill={"chunk_frames": 8, "reserve": 20},
    )
    memory = model.watch(clip)
    gone = 80 - len(memory.frames.indices)
    assert len(memory.frames.unreadable) == gone > 0
    assert set(memory.cache.lengths()) == {130}
    assert memory.compression.notes == (f"{80 - gone} frames came where 80 were planned.",)
    assert all(map(torch.equal, _held(memory), _held(model.watch(clip))))


_PLACES = {
    "open": (watching.Watching, "_check_budget"),
    "decode": (PyAVReader, "_settled"),
    "encode": (retake.ModelAdapter, "encode_frames"),
    "select": (DPSelect, "select"),
    "prefill": (Prefill, "feed"),
    "attend": (CPU, "attend"),
    "finish": (Prefill, "finish"),
}


@pytest.mark.parametrize("place", _PLACES)
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_stopped_at_every_stage(
    load: Any,
    clip: Path,
    place: str,
    error: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It comes out at once, nothing goes on in the background, and the model works as before."""
    model = load(keep_ratio=0.5, video={"reader": "pyav"}, prefill={"chunk_frames": 8})
    want = _held(model.watch(clip))
    owner, name = _PLACES[place]
    calls = [0]
    original = getattr(owner, name)

    def stopping(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] == (1 if place in ("open", "finish") else 3):
            raise error
        return original(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, stopping)
        # What a part raises is given its name.
        with pytest.raises((error, PartError)):
            model.watch(clip)
    assert [thread.name for thread in threading.enumerate() if "retake" in thread.name] == []
    assert all(map(torch.equal, _held(model.watch(clip)), want))


def test_slices_are_even() -> None:
    """Batches of any length become slices of one, the last excepted."""
    lengths = [len(each) for each in slices_of(_stream(50, batch=7), 16)]
    assert lengths == [16, 16, 16, 2]
    assert [len(each) for each in slices_of(_stream(48, batch=40), 16)] == [16, 16, 16]
    assert not list(slices_of(iter(()), 16))
