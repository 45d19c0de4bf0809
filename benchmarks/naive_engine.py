"""The baseline that one writes in an afternoon: chunked prefill over a cache that is concatenated.

The same method as retake's default (DPSelect's pivots, PivotKV's scores on keys and queries free
of positions, the same chunks, the same share kept), in the plain way: the whole video is decoded,
preprocessed and encoded first, the cache is a `DynamicCache` that `torch.cat` grows by every
chunk, scores hold a whole heads × Q × Q matrix, and eviction gathers past and survivors into new
tensors. It does less than retake in one respect: positions stay as they are.
"""

import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import DynamicCache

from benchmarks.stock import Stock
from retake.core.arena import CACHE_ARGUMENT
from retake.selectors.dpselect import dissimilarity, local_peaks

if TYPE_CHECKING:
    from benchmarks.contestants import Job


class NaiveEngine:
    """Prefills a video chunk by chunk and evicts after each."""

    def __init__(self, model: Any, keep_ratio: float) -> None:
        self.model = model
        self.keep_ratio = keep_ratio
        self.cache = DynamicCache()
        self.layers = model.model.language_model.layers
        self.kept_first_layer: list[int] = []
        self._seen: dict[str, list[Tensor]] = {"q": [], "k": []}
        for layer in self.layers:
            for name, linear in (("q", layer.self_attn.q_proj), ("k", layer.self_attn.k_proj)):
                linear.register_forward_hook(
                    lambda _, __, output, name=name: self._seen[name].append(output)
                )

    def text(self, ids: list[int], position: int) -> Tensor:
        """Prefill text and return its last logits."""
        places = torch.arange(position, position + len(ids))
        embedded = self.model.model.language_model.embed_tokens(torch.tensor([ids]))
        logits: Tensor = self.model.lm_head(self._forward(embedded, places.expand(3, -1))[:, -1])
        return logits

    def video(self, features: Tensor, positions: Tensor, pivots: Tensor, chunk: int) -> None:
        """Prefill `[K, C]` tokens in chunks, and evict after each."""
        done = 0
        for first in range(0, len(features), chunk):
            part = slice(first, first + chunk)
            self._forward(features[None, part], positions[:, part])
            count = len(features[part])
            # As retake shares a ratio out over the chunks.
            keep = int(self.keep_ratio * (first + count)) - done
            done += keep
            if keep < count:
                self._evict(pivots[part], keep, first)

    def _forward(self, embedded: Tensor, positions: Tensor) -> Tensor:
        for seen in self._seen.values():
            seen.clear()
        output = self.model.model.language_model(
            inputs_embeds=embedded,
            position_ids=positions[:, None],
            **{CACHE_ARGUMENT: self.cache},
            use_cache=True,
        )
        hidden: Tensor = output.last_hidden_state
        return hidden

    def _evict(self, pivots: Tensor, keep: int, first: int) -> None:
        count = len(pivots)
        for number, layer in enumerate(self.layers):
            width = layer.self_attn.head_dim
            queries, keys = (
                self._seen[name][number].view(count, -1, width).transpose(0, 1) for name in "qk"
            )
            keys = keys.repeat_interleave(len(queries) // len(keys), dim=0)
            weights = (queries @ keys.transpose(1, 2) * width**-0.5).softmax(-1)
            scores = weights.sum(dim=1).mean(dim=0)
            best = scores.argsort(descending=True, stable=True)
            best = best[pivots[best].int().argsort(descending=True, stable=True)]
            chosen = best[:keep].sort().values
            held: Any = self.cache.layers[number]
            past = held.keys.shape[2] - count
            index = torch.cat((torch.arange(past), past + chosen))
            held.keys, held.values = held.keys[:, :, index], held.values[:, :, index]
            if number == 0:
                self.kept_first_layer += (chosen + first).tolist()


@torch.inference_mode()
def run(job: "Job", folder: Path | None, indices: list[int]) -> dict[str, Any]:
    """Decode and encode a whole video, prefill it in chunks, take the first token."""
    stock = Stock(folder)
    engine = NaiveEngine(stock.model, job.keep_ratio or 1.0)
    marks = [("start", time.perf_counter())]
    frames = stock.decode(job.video, indices)
    marks.append(("decode", time.perf_counter()))
    values, grid = stock.preprocess(frames)
    marks.append(("preprocess", time.perf_counter()))
    steps, rows, columns = int(grid[0, 0]), int(grid[0, 1]) // 2, int(grid[0, 2]) // 2
    encoded = stock.model.model.get_video_features(values, grid, return_dict=True).pooler_output
    features = torch.cat(tuple(encoded))
    marks.append(("encode", time.perf_counter()))
    before, behind = stock.prompt(job.questions[0])
    change = dissimilarity(features.view(steps, rows * columns, -1))
    grids = torch.meshgrid(*map(torch.arange, (steps, rows, columns)), indexing="ij")
    positions = torch.stack(grids).reshape(3, -1) + len(before)
    engine.text(before, 0)
    engine.video(
        features,
        positions,
        local_peaks(change, 3).reshape(-1),
        job.chunk_frames // 2 * rows * columns,
    )
    logits = engine.text(behind, int(positions.max()) + 1)
    token = int(logits.argmax())
    marks.append(("prefill", time.perf_counter()))
    return {
        "ttft": marks[-1][1] - marks[0][1],
        "stages": {b: after - at for (_, at), (b, after) in pairwise(marks)},
        "indices": indices,
        "tokens": len(features),
        "kept": len(engine.kept_first_layer) or len(features),
        "kept_first_layer": engine.kept_first_layer,
        "answers": [stock.tokenizer.decode([token])],
    }
