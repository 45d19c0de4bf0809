"""Selection as a stream: visual tokens come in as they are encoded, selected ones go out.

A selector with a finite `lookahead` decides as soon as it has seen so far ahead; one without
(`None`) is shown the whole video's tokens once they are there. Neither sees pixels.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from retake.core.errors import UsageError, blame
from retake.core.selector import FrameSelector
from retake.core.tokens import Selection, VisualTokens


class SelectionStream(ABC):
    """Takes visual tokens in order and yields what is selected of them, in order."""

    #: Steps seen so far.
    steps: int = 0
    #: Those of them that are decided, and the tokens selected from those.
    decided: int = 0
    selected: int = 0

    @abstractmethod
    def push(self, tokens: VisualTokens) -> Iterator[Selection]:
        """What can be decided once these further steps are there."""

    @abstractmethod
    def finish(self) -> Iterator[Selection]:
        """What is left to decide now that the video has ended."""


def selection_stream(
    selector: FrameSelector, expected_steps: int | None, *, whole: bool = False
) -> SelectionStream:
    """The stream for a selector.

    Args:
        selector: decides.
        expected_steps: how long the video is thought to be, to take memory for it once.
        whole: wait for the whole video, whatever the selector needs.
    """
    if whole or selector.lookahead is None:
        return _Whole(selector, expected_steps)
    return _Windowed(selector)


class _Whole(SelectionStream):
    """Holds the tokens of the whole video, in one buffer, until it has ended."""

    def __init__(self, selector: FrameSelector, expected_steps: int | None) -> None:
        self._selector = selector
        self._expected = expected_steps or 0
        self._features: Tensor | None = None
        self._times: list[Tensor] = []
        self._rated: list[Tensor | None] = []
        self._grid = (1, 1)

    def push(self, tokens: VisualTokens) -> Iterator[Selection]:
        end = self.steps + tokens.steps
        if self._features is None or end > len(self._features):
            grown = 0 if self._features is None else 3 * len(self._features) // 2
            larger = tokens.features.new_empty(
                max(end, self._expected, grown), *tokens.features.shape[1:]
            )
            if self._features is not None:
                larger[: self.steps] = self._features[: self.steps]
            self._features = larger
        self._features[self.steps : end] = tokens.features
        self._times.append(tokens.timestamps)
        self._rated.append(tokens.relevance)
        self._grid = tokens.grid
        self.steps = end
        yield from ()

    def finish(self) -> Iterator[Selection]:
        if self._features is None:
            return
        features, self._features = self._features[: self.steps], None
        times, self._times = torch.cat(self._times), []
        rated, self._rated = _joined(self._rated), []
        selection = _select(self._selector, VisualTokens(features, times, self._grid, rated))
        self.decided, self.selected = self.steps, len(selection)
        if len(selection):
            yield selection


class _Windowed(SelectionStream):
    """Holds only the steps that some decision still depends on."""

    def __init__(self, selector: FrameSelector) -> None:
        self._selector = selector
        self._ahead = _steps(selector, "lookahead")
        self._behind = _steps(selector, "lookback")
        self._held: VisualTokens | None = None
        self._rows = 0

    def push(self, tokens: VisualTokens) -> Iterator[Selection]:
        self._held = tokens if self._held is None else self._held.followed_by(tokens)
        self.steps += tokens.steps
        yield from self._decide(self.steps - self._ahead)

    def finish(self) -> Iterator[Selection]:
        yield from self._decide(self.steps)
        self._held = None

    def _decide(self, until: int) -> Iterator[Selection]:
        """Decide the steps before `until`, and let go of what no later one depends on."""
        if until <= self.decided or self._held is None:
            return
        first = self.steps - self._held.steps
        chosen = _select(self._selector, self._held)
        inside = (chosen.steps + first >= self.decided) & (chosen.steps + first < until)
        part = self._settled(chosen, inside, first, until)
        self.decided = until
        needed_from = max(0, until - self._behind - first)
        still = needed_from < self._held.steps
        self._held = self._held.part(needed_from, self._held.steps) if still else None
        if part is not None:
            yield part

    def _settled(
        self, chosen: Selection, inside: Tensor, first: int, until: int
    ) -> Selection | None:
        """The tokens of a window that are decided now, numbered within the whole video."""
        places = inside.nonzero()[:, 0]
        if not len(places):
            return None
        # One step is one row here: with later steps unknown, patches cannot share rows.
        order = torch.argsort(chosen.steps[places], stable=True)
        places = places[order]
        kept, rows = torch.unique(chosen.steps[places], return_inverse=True)
        part = Selection(
            features=_rows_of(chosen.features, places),
            rows=rows + self._rows,
            steps=chosen.steps[places] + first,
            patches=chosen.patches[places],
            pivots=chosen.pivots[places],
            source=(until, chosen.source[1]),
            first=self.selected,
        )
        self._rows += len(kept)
        self.selected += len(part)
        return part


def _joined(parts: list[Tensor | None]) -> Tensor | None:
    """What was said of all parts; nothing, where it was not said of each."""
    said = [part for part in parts if part is not None]
    return torch.cat(said) if len(said) == len(parts) else None


def _steps(selector: FrameSelector, name: str) -> int:
    """A selector's number of steps ahead or behind, refused where it is none."""
    value = getattr(selector, name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UsageError(
            f"{type(selector).__name__}.{name} must be a whole number of steps, 0 or more, "
            f"got {value!r}."
        )
    return value


def _rows_of(features: Tensor, places: Tensor) -> Tensor:
    """Rows of a matrix; a view where they lie together."""
    start, stop = int(places[0]), int(places[-1]) + 1
    if stop - start == len(places) and bool((places.diff() == 1).all()):
        return features[start:stop]
    return features[places]


def _select(selector: FrameSelector, tokens: VisualTokens) -> Selection:
    """A selector's choice, refused where it is no selection of these tokens."""
    with blame(selector, "select"):
        selection: Any = selector.select(tokens)
    where = f"{type(selector).__name__}.select()"
    if not isinstance(selection, Selection):
        raise UsageError(f"{where} must return a Selection, got {type(selection).__name__}.")
    width, source = tokens.features.shape[2], (tokens.steps, tokens.patches)
    if selection.features.shape[1] != width or selection.source != source:
        raise UsageError(f"{where} returned tokens that are not this video's: {selection!r}.")
    return selection
