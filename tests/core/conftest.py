"""A tiny model and a random video, for tests that run the engine."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor

from retake.backends.cpu import CPU
from retake.compressors.none import NoCompression
from retake.core.adapter import LoadOptions
from retake.core.budget import Share, share_of
from retake.core.chunks import chunks_of_rows, chunks_of_tokens
from retake.core.compressor import KVCompressor
from retake.core.engine import Engine, Prefilled
from retake.core.positions import position_policy
from retake.core.tokens import Selection, VisualTokens
from retake.models.qwen2_vl import Qwen2VL

_GRID = (2, 3)


@attrs.frozen(eq=False)
class Stage:
    """A loaded model, a prompt and a video's tokens."""

    adapter: Qwen2VL
    selection: Selection
    prefix: Tensor
    suffix: Tensor

    @property
    def own_positions(self) -> Tensor:
        return self.adapter.video_positions(len(self.prefix), self.selection, _GRID)

    def engine(self, compressor: KVCompressor | None = None, positions: str = "original") -> Engine:
        chosen = compressor or NoCompression()
        return Engine(self.adapter, chosen, position_policy(positions), CPU())

    def share(self, keep_ratio: float) -> Share:
        return share_of(video=len(self.selection), text=0, budget=None, keep_ratio=keep_ratio)

    def prefill(
        self,
        engine: Engine,
        *,
        rows: int | None = None,
        tokens: int | None = None,
        **options: Any,
    ) -> Prefilled:
        """Prefill in chunks of so many rows or tokens; all at once where neither is given."""
        chunks = (
            chunks_of_rows(self.selection.rows, rows)
            if rows
            else chunks_of_tokens(len(self.selection), tokens or len(self.selection))
        )
        given = {"share": None, **options}
        return engine.prefill(
            self.prefix, self.selection, self.own_positions, chunks=chunks, **given
        )

    def ask(self, engine: Engine, prefilled: Prefilled) -> Tensor:
        """Logits `[Q, V]` of the question."""
        with engine.asking(prefilled, len(self.suffix) + 1) as cache:
            model = self.adapter.model
            logits: Tensor = model(input_ids=self.suffix[None], past_key_values=cache).logits
        return logits[0].clone()

    def stock(self) -> Tensor:
        """Logits of the question from the stock model, in one pass."""
        first = len(self.prefix)
        before = torch.arange(first).expand(3, -1)
        start = int(self.own_positions.max()) + 1
        behind = torch.arange(start, start + len(self.suffix)).expand(3, -1)
        positions = torch.cat((before, self.own_positions, behind), dim=1)
        embeddings = torch.cat(
            (
                self.adapter.embed(self.prefix[None]),
                self.selection.features[None],
                self.adapter.embed(self.suffix[None]),
            ),
            dim=1,
        )
        with torch.inference_mode():
            logits: Tensor = self.adapter.model(
                inputs_embeds=embeddings, position_ids=positions[:, None], use_cache=False
            ).logits
        return logits[0, -len(self.suffix) :].clone()


@pytest.fixture(scope="session")
def adapter(checkpoint: Path) -> Qwen2VL:
    """The tiny checkpoint, loaded."""
    return Qwen2VL.load(checkpoint, LoadOptions())


@pytest.fixture(scope="session")
def make_stage(adapter: Qwen2VL) -> Callable[..., Stage]:
    """Call it for a random video of so many steps, one token in four a pivot."""

    def make(steps: int = 8, seed: int = 0) -> Stage:
        random = torch.Generator().manual_seed(seed)
        width = adapter.model.config.text_config.hidden_size
        patches = _GRID[0] * _GRID[1]
        features = torch.randn(steps, patches, width, generator=random)
        tokens = VisualTokens(features, torch.arange(steps).double(), _GRID)
        pivots = torch.rand(steps, patches, generator=random) < 0.25
        prompt = adapter.prompt("What happens?")
        return Stage(
            adapter,
            Selection.gather(tokens, torch.arange(steps), pivots),
            torch.tensor(prompt.prefix),
            torch.tensor(prompt.suffix),
        )

    return make


@pytest.fixture
def stage(make_stage: Callable[..., Stage]) -> Stage:
    """A video of eight steps."""
    return make_stage()
