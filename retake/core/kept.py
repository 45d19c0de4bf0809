"""Which of the video's tokens a layer still holds."""

import torch
from torch import Tensor


class KeptTokens:
    """Numbers and pivot marks of the video tokens in one layer's cache, in cache order.

    Two buffers that grow by doubling, not a list of tensors a chunk: a day of video has
    thousands of chunks.
    """

    def __init__(self) -> None:
        self._numbers = torch.empty(0, dtype=torch.int64)
        self._pivots = torch.empty(0, dtype=torch.bool)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def numbers(self) -> Tensor:
        """int64 `[K]`, ascending: which selected tokens they are. A view."""
        return self._numbers[: self._count]

    @property
    def pivots(self) -> Tensor:
        """bool `[K]`: which of them are pivots. A view."""
        return self._pivots[: self._count]

    def append(self, numbers: Tensor, pivots: Tensor) -> None:
        """Take note of pairs that were added behind those there are."""
        end = self._count + len(numbers)
        if end > len(self._numbers) or numbers.device != self._numbers.device:
            self._grow(max(end, 2 * len(self._numbers)), numbers.device)
        self._numbers[self._count : end] = numbers
        self._pivots[self._count : end] = pivots
        self._count = end

    def choose(self, places: Tensor) -> None:
        """Only the pairs at these places stay: int64, ascending."""
        numbers, pivots = self.numbers[places], self.pivots[places]
        self._count = 0
        self.append(numbers, pivots)

    def _grow(self, room: int, device: torch.device) -> None:
        numbers = torch.empty(room, dtype=torch.int64, device=device)
        pivots = torch.empty(room, dtype=torch.bool, device=device)
        numbers[: self._count] = self.numbers.to(device)
        pivots[: self._count] = self.pivots.to(device)
        self._numbers, self._pivots = numbers, pivots
