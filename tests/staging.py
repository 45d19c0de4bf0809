"""A loaded model and a random video, for tests that run the engine on any family."""

from collections.abc import Callable
from typing import Any

import attrs
import torch
from torch import Tensor

from retake.backends.cpu import CPU
from retake.compressors.none import NoCompression
from retake.core.adapter import ModelAdapter
from retake.core.arena import CACHE_ARGUMENT
from retake.core.backend import Backend
from retake.core.budget import Share, share_of
from retake.core.chunks import chunks_of_rows, chunks_of_tokens
from retake.core.compressor import KVCompressor
from retake.core.engine import Engine, Prefilled
from retake.core.positions import position_policy
from retake.core.tokens import Selection, VisualTokens

#: Called for a random video of so many steps.
MakeStage = Callable[..., "Stage"]


@attrs.frozen(eq=False)
class Stage:
    """A loaded model, a prompt and a video's tokens."""

    adapter: ModelAdapter
    selection: Selection
    grid: tuple[int, int]
    prefix: Tensor
    suffix: Tensor
    seconds_per_step: float = 1.0

    @classmethod
    def of(
        cls,
        adapter: ModelAdapter,
        grid: tuple[int, int],
        steps: int = 8,
        seed: int = 0,
        **more: Any,
    ) -> "Stage":
        """A random video, one token in four a pivot."""
        random = torch.Generator().manual_seed(seed)
        width = adapter.model.config.text_config.hidden_size
        patches = grid[0] * grid[1]
        features = torch.randn(steps, patches, width, generator=random)
        tokens = VisualTokens(features, torch.arange(steps).double(), grid)
        pivots = torch.rand(steps, patches, generator=random) < 0.25
        prompt = adapter.prompt("What happens?")
        return cls(
            adapter,
            Selection.gather(tokens, torch.arange(steps), pivots),
            grid,
            torch.tensor(prompt.prefix),
            torch.tensor(prompt.suffix),
            **more,
        )

    @property
    def own_positions(self) -> Tensor:
        seconds = self.selection.steps.float() * self.seconds_per_step
        return self.adapter.video_positions(len(self.prefix), self.selection, self.grid, seconds)

    def engine(
        self,
        compressor: KVCompressor | None = None,
        positions: str = "original",
        backend: Backend | None = None,
    ) -> Engine:
        chosen = compressor or NoCompression()
        return Engine(self.adapter, chosen, position_policy(positions), backend or CPU())

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
            logits: Tensor = model(input_ids=self.suffix[None], **{CACHE_ARGUMENT: cache}).logits
        return logits[0].clone()

    def stock(self) -> Tensor:
        """Logits of the question from the stock model, in one pass."""
        axes = self.adapter.position_axes
        closing = self.adapter.after_video()
        start = int(self.own_positions.max()) + 1
        behind = torch.arange(start, start + len(closing) + len(self.suffix))
        before = torch.arange(len(self.prefix))
        positions = torch.cat(
            (before.expand(axes, -1), self.own_positions, behind.expand(axes, -1)), dim=1
        )
        embeddings = torch.cat(
            (
                self.adapter.embed(self.prefix[None]),
                self.selection.features[None],
                closing[None],
                self.adapter.embed(self.suffix[None]),
            ),
            dim=1,
        )
        with torch.inference_mode():
            logits: Tensor = self.adapter.model(
                inputs_embeds=embeddings,
                position_ids=positions if axes == 1 else positions[:, None],
                use_cache=False,
            ).logits
        return logits[0, -len(self.suffix) :].clone()
