"""What PivotKV costs, and what it saves, in one layer of Qwen2-VL-7B's real shape.

The stock text model of `transformers` with one decoder layer and random weights runs through
retake's engine: positions, attention, scoring, reforging and compaction are the real ones.

First the cost: a chunk of 2,304 tokens over 16,128 of past, prefilled again and again over the
same past. "keeps all" is PivotKV at keep_ratio 1, where the engine has nothing to choose and does
not score; "scores, keeps all but one" forces everything a compressed chunk goes through (scores,
choice, reforging and moving of what is kept) while the cache stays as long. Then the saving: eight
chunks from the start, with everything kept and with a quarter.

    python -m benchmarks.pivotkv_overhead [--quick] [--dtype bfloat16|float32] [--rounds N]
"""

import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import torch
from attrs import frozen
from torch import Tensor
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration

from benchmarks import harness
from retake.backends.cpu import CPU
from retake.backends.cuda import CUDA
from retake.compressors.none import NoCompression
from retake.compressors.pivotkv import PivotKV
from retake.core.backend import Backend
from retake.core.budget import Share
from retake.core.compressor import KVCompressor
from retake.core.engine import Engine
from retake.core.positions import position_policy
from retake.core.tokens import Selection, VisualTokens
from retake.models.qwen2_vl import Qwen2VL

_GRID = (12, 12)
_CHUNKS = 8
# Goals: scoring costs at most this part of a chunk, on the CPU and on a GPU.
_GOALS = {"cpu": 0.10, "cuda": 0.08}


@frozen
class Shape:
    """One decoder layer, and steps of 144 tokens a chunk."""

    hidden: int = 3584
    heads: int = 28
    groups: int = 4
    mlp: int = 18944
    steps: int = 16

    @property
    def chunk(self) -> int:
        """Tokens in a chunk."""
        return self.steps * _GRID[0] * _GRID[1]

    def model(self, dtype: torch.dtype, device: torch.device) -> Qwen2VL:
        """The adapter around a model of one such layer, with random weights."""
        width = self.hidden // self.heads
        sixteenth = width // 16
        config = Qwen2VLConfig(
            text_config={
                "hidden_size": self.hidden,
                "intermediate_size": self.mlp,
                "num_hidden_layers": 1,
                "num_attention_heads": self.heads,
                "num_key_value_heads": self.groups,
                "vocab_size": 64,
                "bos_token_id": None,
                "eos_token_id": None,
                "rope_parameters": {
                    "rope_type": "default",
                    "rope_theta": 1e6,
                    "mrope_section": [2 * sixteenth, 3 * sixteenth, 3 * sixteenth],
                },
            },
            vision_config={"depth": 1, "embed_dim": 32, "num_heads": 2, "hidden_size": self.hidden},
        )
        torch.manual_seed(0)
        with torch.device(device):
            model: Any = Qwen2VLForConditionalGeneration(config)
        return Qwen2VL.wrap(model.to(dtype).eval(), None)

    def video(self, dtype: torch.dtype, device: torch.device) -> Selection:
        """Random tokens, one in four a pivot, enough for all chunks."""
        random = torch.Generator().manual_seed(0)
        steps, patches = self.steps * _CHUNKS, _GRID[0] * _GRID[1]
        features = torch.randn(steps, patches, self.hidden, generator=random).to(device, dtype)
        tokens = VisualTokens(features, torch.arange(steps).double(), _GRID)
        pivots = torch.rand(steps, patches, generator=random) < 0.25
        return Selection.gather(tokens, torch.arange(steps), pivots.to(device))


@frozen
class Bench:
    """A model, a video and where its tokens stand."""

    shape: Shape
    adapter: Qwen2VL
    backend: Backend
    selection: Selection
    positions: Tensor

    def engine(self, compressor: KVCompressor) -> Engine:
        """The engine as `retake run` builds it: what never evicts keeps the model's positions."""
        policy = position_policy("reforge" if compressor.evicts else "original")
        return Engine(self.adapter, compressor, policy, self.backend)

    def over_past(self, compressor: KVCompressor, keep: int | None) -> Callable[[], None]:
        """Prefill the last chunk over a past of random pairs; the past stays as it was."""
        size = self.shape.chunk
        past = len(self.selection) - size
        prefill = self.engine(compressor).start(torch.empty(0, dtype=torch.long), past + size)
        (layer,) = prefill.finish().cache.layers
        config = self.adapter.model.config.text_config
        pairs = torch.randn(
            (2, 1, config.num_key_value_heads, past, config.hidden_size // self.shape.heads),
            device=self.positions.device,
            dtype=self.adapter.dtype,
        )
        layer.expect(self.positions[:, :past])
        layer.update(pairs[0], pairs[1])
        chunk, positions = self.selection.part(past, past + size), self.positions[:, past:]

        def run() -> None:
            prefill.feed(chunk, positions, keep)
            self.backend.synchronize()
            layer.crop(layer.length - past)

        return run

    def from_start(self, compressor: KVCompressor, ratio: Fraction | None) -> Callable[[], None]:
        """Prefill all chunks into an empty cache."""
        size = self.shape.chunk
        chunks = [(first, first + size) for first in range(0, len(self.selection), size)]
        engine = self.engine(compressor)

        def run() -> None:
            engine.prefill(
                torch.empty(0, dtype=torch.long),
                self.selection,
                self.positions,
                chunks=chunks,
                share=None if ratio is None else Share(ratio),
            )
            self.backend.synchronize()

        return run

    def score(self) -> Callable[[], None]:
        """The attention mass of one chunk, alone."""
        config = self.adapter.model.config.text_config
        width = config.hidden_size // config.num_attention_heads
        queries, keys = (
            torch.randn(
                (heads, self.shape.chunk, width),
                device=self.positions.device,
                dtype=self.adapter.dtype,
            )
            for heads in (config.num_attention_heads, config.num_key_value_heads)
        )

        def run() -> None:
            self.backend.attention_mass(queries, keys, width**-0.5)
            self.backend.synchronize()

        return run


def practical_dtype(device: torch.device) -> torch.dtype:
    """The faster of bfloat16 and float32 in a matrix product."""

    def seconds(dtype: torch.dtype) -> float:
        left, right = (torch.ones(1024, 1024, device=device, dtype=dtype) for _ in range(2))
        best = float("inf")
        for _ in range(4):
            start = time.perf_counter()
            (left @ right)[0, 0].item()
            best = min(best, time.perf_counter() - start)
        return best

    return min((torch.bfloat16, torch.float32), key=seconds)


def measure(bench: Bench, rounds: int) -> harness.Result:
    """Both parts, each in interleaved rounds."""
    count, none, pivotkv = bench.shape.chunk, NoCompression(), PivotKV()
    cost = harness.interleaved(
        {
            "no compressor": bench.over_past(none, None),
            "PivotKV, keeps all": bench.over_past(pivotkv, count),
            "PivotKV, scores, keeps all but one": bench.over_past(pivotkv, count - 1),
            "the scores alone": bench.score(),
        },
        rounds,
    )
    saving = harness.interleaved(
        {
            "no compressor, all chunks": bench.from_start(none, None),
            "PivotKV 1/4, all chunks": bench.from_start(pivotkv, Fraction(1, 4)),
        },
        max(2, rounds - 2),
    )
    table: list[list[object]] = [["", "seconds", "of no compressor"]]
    for part in (cost, saving):
        base = next(iter(part.values()))
        for name, took in part.items():
            spread, share = harness.median_and_spread(took), harness.ratio(took, base)
            table.append([name, spread.text(3), share.text(3)])
    overhead = harness.ratio(cost["PivotKV, scores, keeps all but one"], cost["no compressor"])
    quarter = harness.ratio(saving["PivotKV 1/4, all chunks"], saving["no compressor, all chunks"])
    goal = _GOALS[bench.positions.device.type]
    past = len(bench.selection) - count
    notes = [
        f"One layer: {bench.shape}, {bench.adapter.dtype}, on {bench.backend.describe()}. A chunk "
        f"of {count:,} tokens over {past:,}; then {_CHUNKS} chunks from the start. {rounds} "
        "interleaved rounds; medians (lowest to highest), ratios round by round.",
        f"Overhead of scoring: {overhead.median - 1:+.1%} (goal: at most {goal:.0%}).",
        f"Prefill at a quarter takes {quarter.median:.2f} of the uncompressed (goal: below 1).",
    ]
    data = {
        "cost_seconds": cost,
        "saving_seconds": saving,
        "overhead": overhead.median - 1,
        "quarter": quarter.median,
        "dtype": str(bench.adapter.dtype),
    }
    return harness.Result(table, notes, data)


def main() -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), help="default: the faster one")
    parser.add_argument("--device", choices=tuple(_GOALS), default="cpu")
    parser.add_argument("--rounds", type=int, help="5, or 2 with --quick")
    given = parser.parse_args()
    backend: Backend = CUDA() if given.device == "cuda" else CPU()
    device = backend.device
    dtype = getattr(torch, given.dtype) if given.dtype else practical_dtype(device)
    shape = Shape(256, 8, 2, 1024, 2) if given.quick else Shape()
    adapter, selection = shape.model(dtype, device), shape.video(dtype, device)
    positions = adapter.video_positions(0, selection, _GRID).to(device)
    bench = Bench(shape, adapter, backend, selection, positions)
    rounds = given.rounds or (2 if given.quick else 5)
    harness.finish("pivotkv_overhead", measure(bench, rounds), given)


if __name__ == "__main__":
    main()
