"""What a page consists of: sections of tables, charts and notes, free of HTML.

The idea: a page is put together once, as data, and written twice, as HTML and as Markdown.
Knows nothing of runs, nor of how anything looks.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import attrs


class Block(Protocol):
    """A piece of a section; `kind` names the macro that draws it."""

    kind: ClassVar[str]


@attrs.frozen
class Cell:
    """One entry of a table.

    Attributes:
        text: the entry itself.
        small: what stands beside it, less loud, such as an interval.
        strong: whether it stands out.
        level: 0 … 1, how deeply its box is coloured; None: not at all.
    """

    text: str
    small: str = ""
    strong: bool = False
    level: float | None = None


@attrs.frozen
class Table:
    """Rows under headings; the first column names the row.

    Attributes:
        caption: what the numbers are.
        columns: headings.
        rows: as many cells as headings in each.
        words: numbers of the columns that hold text, besides the first; others are numbers.
    """

    kind: ClassVar[str] = "table"

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: frozenset[int] = frozenset()

    def __attrs_post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{len(self.columns)} columns need as many cells, got {len(row)}")


@attrs.frozen
class Note:
    """A paragraph; a loud one is a warning."""

    kind: ClassVar[str] = "note"

    text: str
    loud: bool = False


@attrs.frozen
class Listing:
    """Short remarks, one under the other."""

    kind: ClassVar[str] = "listing"

    items: tuple[str, ...]


@attrs.frozen
class Code:
    """Text in which every blank counts, such as YAML."""

    kind: ClassVar[str] = "code"

    text: str
    language: str = ""


@attrs.frozen
class Folded:
    """Blocks behind a title that opens them."""

    kind: ClassVar[str] = "folded"

    title: str
    blocks: tuple[Any, ...]
    open: bool = False


@attrs.frozen
class Section:
    """A part of the page under a heading.

    Attributes:
        id: of its anchor.
        title: the heading.
        blocks: in order.
    """

    id: str
    title: str
    blocks: tuple[Any, ...]


@attrs.frozen
class Fact:
    """One figure of the headline: what it is, how much, and what goes with it."""

    label: str
    value: str
    small: str = ""


@attrs.frozen
class Page:
    """A whole page.

    Attributes:
        title: of the page and its window.
        subtitle: what was looked at, in a line.
        facts: the headline.
        notices: what the reader must know before reading on.
        sections: in order.
        data: the same numbers for machines.
        picks: what can be singled out in every chart by its legend: style and name.
    """

    title: str
    subtitle: str
    facts: tuple[Fact, ...]
    notices: tuple[str, ...]
    sections: tuple[Section, ...]
    data: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    picks: tuple[Any, ...] = ()


def section(id: str, title: str, *blocks: Any) -> Iterator[Section]:
    """A section, or none where there is nothing to put in it."""
    there = tuple(block for block in blocks if block is not None)
    if there:
        yield Section(id, title, there)


def cells(*texts: str | Cell) -> tuple[Cell, ...]:
    """A row of plain cells."""
    return tuple(text if isinstance(text, Cell) else Cell(text) for text in texts)


def labelled(caption: str, rows: Sequence[tuple[str, str]]) -> Table:
    """Names on the left, what they stand for beside them."""
    return Table(caption, ("", ""), tuple(cells(*row) for row in rows), frozenset({1}))
