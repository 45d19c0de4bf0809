"""Which of the video's tokens a layer, or one head of it, still holds."""

from typing import Any

import attrs
import torch
from torch import Tensor

from retake.core.tokens import Selection


@attrs.frozen(eq=False)
class TokenFacts:
    """What is known of tokens, one value each.

    Attributes:
        numbers: int64 `[K]`, ascending: which selected tokens they are.
        pivots: bool `[K]`.
        rows, patches: int64 `[K]`, as in `Selection`.
        times: int64 `[K]`, the model's own position of each on the time axis.
        carried: float32 `[K]`, the score that earlier chunks left each with.
    """

    numbers: Tensor
    pivots: Tensor
    rows: Tensor
    patches: Tensor
    times: Tensor
    carried: Tensor

    @classmethod
    def of(cls, chunk: Selection, times: Tensor) -> "TokenFacts":
        """Those of a chunk that was just selected."""
        device = chunk.rows.device
        count = len(chunk)
        return cls(
            numbers=torch.arange(count, device=device) + chunk.first,
            pivots=chunk.pivots,
            rows=chunk.rows,
            patches=chunk.patches,
            times=times,
            carried=torch.zeros(count, device=device),
        )

    def __len__(self) -> int:
        return int(self.numbers.shape[0])

    def to(self, device: torch.device) -> "TokenFacts":
        """The same on another device."""
        if self.numbers.device == device:
            return self
        return TokenFacts(*(getattr(self, name).to(device) for name in _NAMES))

    def part(self, cut: slice) -> "TokenFacts":
        """Some of them; views."""
        return TokenFacts(*(getattr(self, name)[cut] for name in _NAMES))

    def choose(self, places: Tensor) -> "TokenFacts":
        """Those at these places; copies."""
        return TokenFacts(*(getattr(self, name)[places] for name in _NAMES))


_NAMES = tuple(field.name for field in attrs.fields(TokenFacts))


class KeptTokens:
    """Facts of the video tokens in one layer's cache, in cache order.

    Buffers that grow by doubling, not a list of tensors a chunk: a day of video has thousands
    of chunks.
    """

    def __init__(self) -> None:
        self._held: dict[str, Tensor] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def facts(self) -> TokenFacts:
        """Of all of them; views."""
        if not self._held:
            none = torch.empty(0, dtype=torch.int64)
            return TokenFacts(none, none.bool(), none, none, none, none.float())
        return TokenFacts(*(self._held[name][: self._count] for name in _NAMES))

    @property
    def numbers(self) -> Tensor:
        """int64 `[K]`, ascending: which selected tokens they are. A view."""
        return self.facts.numbers

    @property
    def pivots(self) -> Tensor:
        """bool `[K]`: which of them are pivots. A view."""
        return self.facts.pivots

    def append(self, new: TokenFacts) -> None:
        """Take note of pairs that were added behind those there are."""
        end = self._count + len(new)
        room = len(self._held["numbers"]) if self._held else 0
        if end > room or not self._held:
            self._grow(max(end, 2 * room), new)
        for name in _NAMES:
            self._held[name][self._count : end] = getattr(new, name)
        self._count = end

    def choose(self, newest: int, places: Tensor, scores: Tensor | None = None) -> None:
        """Of the newest pairs only those at these places stay: int64, ascending.

        Args:
            newest: how many pairs are chosen from.
            places: indices into those.
            scores: `[newest]`, what each is left with; None: as before.
        """
        start = self._count - newest
        staying = self.facts.part(slice(start, None)).choose(places)
        if scores is not None:
            staying = attrs.evolve(staying, carried=scores[places].float())
        self._count = start
        self.append(staying)

    def _grow(self, room: int, like: TokenFacts) -> None:
        old: Any = self.facts
        for name in _NAMES:
            column: Tensor = getattr(like, name)
            larger = column.new_empty(room)
            larger[: self._count] = getattr(old, name).to(column.device)
            self._held[name] = larger

    def note(self, newest: int, scores: Tensor) -> None:
        """The newest pairs stay, and are left with these scores `[newest]`."""
        self._held["carried"][self._count - newest : self._count] = scores.float()


def held_numbers(parts: list[KeptTokens]) -> tuple[Tensor, int]:
    """Of the tokens that any head of a layer holds, their numbers, ascending; and pivots held.

    Pivots are counted as pairs are: where heads hold different ones, the mean over heads.
    """
    pivots = sum(int(part.pivots.sum()) for part in parts) // len(parts)
    if len(parts) == 1:
        return parts[0].numbers, pivots
    numbers = torch.cat([part.numbers for part in parts])
    # Through a set of Python numbers: `torch.unique` is not on every device.
    return torch.tensor(sorted(set(numbers.tolist()))), pivots
