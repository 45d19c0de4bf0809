"""Cutting what was selected into the chunks that are prefilled."""

from collections.abc import Iterator

import torch
from torch import Tensor

from retake.core.tokens import Selection


class RowChunks:
    """Collects selected tokens as they come and hands them out in chunks of whole rows.

    A chunk ends every `rows_per_chunk` rows, wherever the parts that came in ended, so that
    chunks are the same however a video arrives.
    """

    def __init__(self, rows_per_chunk: int) -> None:
        self._rows = rows_per_chunk
        self._waiting: list[Selection] = []
        self._end = rows_per_chunk

    def push(self, part: Selection) -> Iterator[Selection]:
        """The chunks that a further part completes.

        A part holds all tokens of its rows, which follow those of the parts before it.
        """
        while part.row_count >= self._end:
            split = int(torch.searchsorted(part.rows, self._end))
            if split:
                self._waiting.append(part.part(0, split))
            yield from self.finish()
            if split == len(part):
                return
            part = part.part(split, len(part))
        self._waiting.append(part)

    def finish(self) -> Iterator[Selection]:
        """What is left: at most one chunk, shorter than the others."""
        self._end += self._rows
        if self._waiting:
            yield Selection.joined(self._waiting)
            self._waiting = []


def chunks_of_rows(rows: Tensor, rows_per_chunk: int) -> list[tuple[int, int]]:
    """Chunks of whole rows: first and last-plus-one token of each.

    Args:
        rows: int64 `[K]`, ascending, the row each token counts as.
        rows_per_chunk: rows in a chunk.
    """
    ends = torch.arange(rows_per_chunk, int(rows[-1]) + 1 + rows_per_chunk, rows_per_chunk)
    stops = torch.searchsorted(rows.cpu().contiguous(), ends).tolist()
    starts = [0, *stops[:-1]]
    return [(a, b) for a, b in zip(starts, stops, strict=True) if b > a]


def chunks_of_tokens(count: int, tokens_per_chunk: int) -> list[tuple[int, int]]:
    """Chunks of so many tokens, whatever rows they fall in, as the published code has them."""
    return [
        (start, min(start + tokens_per_chunk, count)) for start in range(0, count, tokens_per_chunk)
    ]
