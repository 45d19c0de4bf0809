"""Every recorded PivotKV case, driven through the engine's own run, layer by layer."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from retake.backends.cpu import CPU
from retake.core import engine, rope
from retake.core.adapter import ModelAdapter
from retake.core.arena import ArenaCache
from retake.core.budget import Share, share_of
from retake.core.kept import TokenFacts
from retake.core.positions import position_policy
from retake.core.run import VideoChunk


@attrs.frozen(eq=False)
class Recording:
    """The inputs of all cases."""

    tensors: dict[str, Tensor]
    segments: list[tuple[str, int]]
    width: int
    sections: list[int]
    scaling: dict[str, float]

    @property
    def layers(self) -> int:
        return sum(name.startswith("q.L") for name in self.tensors)

    def states(self, name: str, layer: int, where: slice) -> Tensor:
        return self.tensors[f"{name}.L{layer}"][:, :, where]


def _unused(self: ModelAdapter, *_: Any) -> Any:
    raise AssertionError("the engine's run asks for nothing but the rotary embedding")


# What is asked of an adapter while a run goes on is its rotary embedding, and nothing else.
_Silent: Any = type(
    "_Silent", (ModelAdapter,), dict.fromkeys(ModelAdapter.__abstractmethods__, _unused)
)


class Rotary(_Silent):
    """An adapter that knows nothing but a rotary embedding."""

    def __init__(self, frequencies: Tensor, scaling: float, sections: list[int] | None) -> None:
        super().__init__(nn.Linear(1, 1), None, "")
        self.frequencies = frequencies
        self.scaling = scaling
        self.sections = sections
        self.position_axes = 3 if sections else 1

    def rotary(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        angles = positions[:, :, None].float() * self.frequencies
        if self.sections:
            parts = angles.split(self.sections, dim=-1)
            chosen = torch.cat([part[axis] for axis, part in enumerate(parts)], dim=-1)
        else:
            chosen = angles[0]
        both = torch.cat((chosen, chosen), dim=-1)
        return both.cos() * self.scaling, both.sin() * self.scaling


@pytest.fixture(scope="module")
def recording(goldens: Path) -> Recording:
    """Queries, keys and values of every layer before they are turned, and their positions."""
    with safe_open(goldens / "pivotkv" / "inputs.safetensors", "pt") as file:
        facts = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return Recording(
        tensors=tensors,
        segments=[(kind, count) for kind, count in json.loads(facts["segments"])],
        width=int(facts["head_dim"]),
        sections=json.loads(facts["mrope_section"]),
        scaling={
            name.removeprefix("attention_scaling."): float(value)
            for name, value in facts.items()
            if name.startswith("attention_scaling.")
        },
    )


@pytest.fixture(scope="module")
def manifest(goldens: Path) -> list[dict[str, Any]]:
    """The recorded cases."""
    cases: list[dict[str, Any]] = json.loads((goldens / "pivotkv" / "manifest.json").read_text())
    return cases


def _expected(folder: Path, case: dict[str, Any]) -> dict[str, Tensor]:
    start = f"{case['case']}/"
    with safe_open(folder / case["file"], "pt") as file:
        names = [name for name in file.keys() if name.startswith(start)]  # noqa: SIM118
        return {name.removeprefix(start): file.get_tensor(name) for name in names}


def _adapter(case: dict[str, Any], recording: Recording) -> Rotary:
    kind = f"{case['rope']}.{'yarn4' if case['yarn'] else 'none'}"
    sections = recording.sections if case["rope"] == "mrope" else None
    return Rotary(recording.tensors[f"inv_freq.{kind}"], float(recording.scaling[kind]), sections)


def _axes(positions: Tensor, axes: int) -> Tensor:
    """Recorded positions as `[A, Q]`."""
    return positions.reshape(axes, -1).long()


def _segments(recording: Recording) -> Iterator[tuple[int, str, slice]]:
    start = 0
    for number, (kind, count) in enumerate(recording.segments):
        yield number, kind, slice(start, start + count)
        start += count


class Drive:
    """Feeds recorded queries, keys and values to the engine's run as a model's layers would."""

    def __init__(
        self, case: dict[str, Any], recording: Recording, compressor: Any, kernel: str
    ) -> None:
        self.recording = recording
        self.adapter = _adapter(case, recording)
        policy = position_policy("reforge" if case["reforge"] else "original", published=True)
        self.engine = engine.Engine(self.adapter, compressor, policy, CPU(kernel=kernel))
        self.run = engine.LayerRun(self.engine, recording.layers)
        self.cache = ArenaCache.allocate(recording.layers, 1, self.adapter.position_axes)
        self.share: Share = share_of(
            video=1, text=0, budget=None, keep_ratio=case["ratio"], published=True
        )
        pivots = recording.tensors.get(f"keypatches_mask.{case['mask']}")
        kinds = torch.tensor(
            [kind == "video" for kind, count in recording.segments for _ in range(count)]
        )
        self.pivots = torch.zeros(int(kinds.sum()), dtype=torch.bool) if pivots is None else pivots
        self.positions = _axes(
            recording.tensors[f"position_ids.{case['rope']}"], self.adapter.position_axes
        )
        self.video_seen = 0

    def start(self, kind: str, where: slice) -> None:
        """Tell the run what comes, as `Engine.prefill` and `Engine.asking` do."""
        own, count = self.positions[:, where], where.stop - where.start
        if kind == "video":
            first = self.video_seen
            numbers = torch.arange(first, first + count)
            tokens = TokenFacts(
                numbers=numbers,
                pivots=self.pivots[first : first + count],
                rows=numbers,
                patches=torch.zeros_like(numbers),
                times=own[0],
                carried=torch.zeros(count),
            )
            keep = [self.share.keep(first, count)] * self.recording.layers
            self.run.start_chunk(own, VideoChunk(tokens, keep))
            self.video_seen += count
        elif not self.video_seen:
            self.run.segment = engine.Segment(own)
        elif self.run.segment is not None:
            seen = int(self.positions[:, : where.start].max())
            self.run.continue_from(seen + 1, self.cache.lengths())

    def layer(self, number: int, where: slice) -> int:
        """One layer's attention; the length it attended over."""
        held = self.cache.layers[number]
        positions = self.run.place(number, self.cache, where.stop - where.start)
        held.expect(positions)
        angles = self.adapter.rotary(positions)
        queries, keys = (
            rope.rotate(self.recording.states(name, number, where), *angles) for name in "qk"
        )
        keys, values = held.update(keys, self.recording.states("v", number, where))
        self.run.attend(number, queries, keys, values, self.recording.width**-0.5)
        return keys.shape[2]


def _check(
    drive: Drive,
    case: dict[str, Any],
    log: Any,
    expected: dict[str, Tensor],
    close: Callable[[Tensor, Tensor], None],
) -> None:
    axes, layers = drive.adapter.position_axes, drive.recording.layers
    for number, kind, where in _segments(drive.recording):
        step = case["steps"][number]
        drive.start(kind, where)
        lengths = [drive.layer(layer, where) for layer in range(layers)]
        assert lengths == step["returned_len"]
        assert drive.cache.lengths() == step["cache_len"]
        if drive.video_seen:
            kept = [len(tokens) for tokens in drive.run.kept_tokens()]
            assert [drive.video_seen - count for count in kept] == step["num_evicted"]
        for layer, held in enumerate(drive.cache.layers):
            used = torch.cat(log.positions[layer], dim=1)
            want = _axes(expected[f"positions_used.L{layer}"], axes)[:, : where.stop]
            assert torch.equal(used, want)
            if f"position_cache.L{layer}" in expected:
                cached = _axes(expected[f"position_cache.L{layer}"], axes)[:, : held.length]
                assert torch.equal(held.cached_positions(), cached)
            for mine, name in ((held.keys, "key"), (held.values, "value")):
                close(mine[0, :, : held.length], expected[f"{name}.L{layer}"][:, : held.length])
    for layer in range(layers):
        kept = drive.run.kept_tokens()[layer].tolist()
        assert kept == expected[f"kept_video.L{layer}"].tolist()
        want = expected[f"raw_score.L{layer}"]
        torch.testing.assert_close(log.raw_scores()[layer], want, atol=1e-4, rtol=0)
        assert drive.cache.layers[layer].length == expected[f"key.L{layer}"].shape[1]


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
def test_every_recorded_case(
    kernel: str,
    manifest: list[dict[str, Any]],
    recording: Recording,
    goldens: Path,
    watch: Any,
    replay: Any,
    close: Callable[[Tensor, Tensor], None],
    subtests: pytest.Subtests,
    report: Callable[[str], None],
) -> None:
    """Kept sets, positions, scores, keys and values after every segment are those recorded."""
    checked: Counter[str] = Counter()
    for case in manifest:
        with subtests.test(f"{case['file']}:{case['case']}"):
            expected = _expected(goldens / "pivotkv", case)
            log = watch(recording.layers)
            kept = tuple(
                expected[f"kept_video.L{layer}"].long() for layer in range(recording.layers)
            )
            drive = Drive(case, recording, replay(kept), kernel)
            _check(drive, case, log, expected, close)
            checked[f"{case['rope']}{'+yarn' if case['yarn'] else ''}"] += 1
    report(f"pivotkv, {kernel}: {checked.total()} of {len(manifest)} cases {dict(checked)}")
    assert checked == Counter(
        f"{case['rope']}{'+yarn' if case['yarn'] else ''}" for case in manifest
    )
    assert checked.total() > 0
