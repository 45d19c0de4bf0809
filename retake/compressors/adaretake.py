"""AdaReTaKe: what the question looks at, with budgets for time and for layers."""

from collections.abc import Sequence
from typing import ClassVar

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor

from retake.core.compressor import KVCompressor, best_first
from retake.core.errors import UsageError
from retake.core.kv import KVChunk
from retake.core.tokens import Selection

# Chunks without any change still get something.
_LEAST_CHANGE = 1e-6
# Tokens compared at a time; their features are converted to float32.
_TOKENS = 1024


@attrs.frozen
class AdaReTaKe(KVCompressor):
    """Keep what the question attends to; chunks that change and layers that look keep more.

    Score: the attention a key receives from the question's queries, not causal, softmax over
    the chunk's keys, summed over queries, averaged over heads. Chunks share the budget by
    their mean change: one minus the cosine of a token to the one before it at its place, the
    chunk before included. Layers share a chunk's budget by how many of the best scores of all
    layers are theirs. From AdaReTaKe (arXiv 2503.12559) and its published code.

    Where the printed equations do not add up to the budget, weights are normalised: the paper's
    layer weights have a floor of 0.01 put in after they summed to one; here, as in the published
    code, every layer is given one more hit than it has before weights are made to average 1.
    Weights say how a budget is split, and no chunk or layer can keep more than it has.

    Attributes:
        temporal: share between chunks by change; False: alike.
        layered: share between layers by hits; False: alike.
    """

    source: ClassVar[str] = "arXiv 2503.12559"
    needs_question: ClassVar[bool] = True

    temporal: bool = True
    layered: bool = True

    @property
    def weighs_chunks(self) -> bool:  # type: ignore[override]
        return self.temporal

    @property
    def weighs_layers(self) -> bool:  # type: ignore[override]
        return self.layered

    def score(self, chunk: KVChunk) -> Tensor:
        if chunk.guide is None:
            raise UsageError(
                "adaretake scores by the question, and was given none.",
                hint="Watch the video with the question: model.watch(video, questions=[question]).",
            )
        return chunk.backend.attention_mass(chunk.guide, chunk.keys, chunk.scaling)

    def chunk_weights(self, chunks: Sequence[Selection]) -> Tensor:
        changes = _changes(chunks)
        known = [change for change in changes if change is not None]
        usual = sum(known) / len(known) if known else 1.0
        weights = torch.tensor([usual if change is None else change for change in changes])
        return weights.clamp_min(_LEAST_CHANGE)

    def share_layers(self, scores: Sequence[Tensor], count: int) -> Sequence[float]:
        pooled = torch.cat([layer.float().cpu() for layer in scores])
        ends = torch.tensor([len(layer) for layer in scores]).cumsum(0)
        best = best_first(pooled)[: count * len(scores)]
        owners = torch.searchsorted(ends, best, right=True)
        hits = torch.bincount(owners, minlength=len(scores)).double() + 1
        weights: list[float] = (hits / hits.mean()).tolist()
        return weights


def _changes(chunks: Sequence[Selection]) -> list[float | None]:
    """Each chunk's mean change; None for one in which no place was seen before."""
    changes: list[float | None] = []
    latest = seen = None
    for chunk in chunks:
        if latest is None or seen is None:
            latest = chunk.features.new_zeros(chunk.source[1], chunk.features.shape[1])
            seen = torch.zeros(chunk.source[1], dtype=torch.bool, device=latest.device)
        changes.append(_change(chunk, latest, seen))
    return changes


def _change(chunk: Selection, latest: Tensor, seen: Tensor) -> float | None:
    """A chunk's mean change; then `latest` `[N, C]` and `seen` `[N]` are brought up to date."""
    # By place, and by time within a place.
    order = torch.argsort(chunk.patches, stable=True)
    places = chunk.patches[order]
    first = torch.ones_like(places, dtype=torch.bool)
    first[1:] = places[1:] != places[:-1]
    total, count = 0.0, 0
    for at in torch.split(torch.arange(len(order), device=order.device), _TOKENS):
        now = chunk.features[order[at]].float()
        inside = chunk.features[order[(at - 1).clamp_min(0)]]
        before = torch.where(first[at, None], latest[places[at]], inside).float()
        known = ~first[at] | seen[places[at]]
        apart = 1 - F.cosine_similarity(now, before, dim=-1)
        total += float(apart[known].sum())
        count += int(known.sum())
    last = first.roll(-1)
    latest[places[last]] = chunk.features[order[last]]
    seen[places] = True
    return total / count if count else None
