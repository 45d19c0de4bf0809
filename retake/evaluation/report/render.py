"""A page as one HTML file that loads nothing, and as Markdown.

Everything that comes from data is escaped by the templates' environment. The page runs no
script: what can be singled out or opened is done by the style sheet.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from retake.evaluation.report.document import Cell, Code, Folded, Listing, Note, Page, Table


def to_html(page: Page) -> str:
    """The page as a whole HTML document."""
    return _environment().get_template("page.html.jinja").render(page=page)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("retake.evaluation.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Numbers in drawings need no more.
    environment.filters["short"] = lambda value: f"{value:g}"
    return environment


def to_markdown(page: Page) -> str:
    """The page's words and tables as Markdown; charts are left out, their tables are there."""
    lines = [f"# {_inline(page.title)}", "", _inline(page.subtitle), ""]
    for fact in page.facts:
        small = f" ({_inline(fact.small)})" if fact.small else ""
        lines.append(f"- {_inline(fact.label)}: **{_inline(fact.value)}**{small}")
    for notice in page.notices:
        lines += ["", f"> {_inline(notice)}"]
    for section in page.sections:
        told = [line for block in section.blocks for line in _block(block, 3)]
        # Of a section of charts nothing is left.
        lines += ["", f"## {_inline(section.title)}", *told] if told else []
    return "\n".join(lines).rstrip() + "\n"


def _block(block: Any, depth: int) -> Iterator[str]:
    match block:
        case Table():
            yield from ("", _inline(block.caption), "", *_table(block))
        case Note():
            yield from ("", _inline(block.text))
        case Listing():
            yield from ("", *(f"- {_inline(item)}" for item in block.items))
        case Code():
            fence = "`" * max(3, _longest_run(block.text) + 1)
            yield from ("", f"{fence}{block.language}", block.text.rstrip("\n"), fence)
        case Folded():
            yield from ("", f"{'#' * depth} {_inline(block.title)}")
            for inner in block.blocks:
                yield from _block(inner, depth + 1)


def _table(table: Table) -> Iterator[str]:
    yield _row([_inline(column) for column in table.columns])
    yield _row(
        [":--" if not at or at in table.words else "--:" for at in range(len(table.columns))]
    )
    for row in table.rows:
        yield _row([_cell(cell) for cell in row])


def _row(texts: list[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _cell(cell: Cell) -> str:
    text = _inline(cell.text)
    text = f"**{text}**" if cell.strong and text else text
    return f"{text} ({_inline(cell.small)})" if cell.small else text


def _inline(text: str) -> str:
    """Text in which nothing is markup, on one line."""
    flat = " ".join(text.split())
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>|#" else sign for sign in flat)


def _longest_run(text: str) -> int:
    """The longest run of backticks."""
    longest = run = 0
    for sign in text:
        run = run + 1 if sign == "`" else 0
        longest = max(longest, run)
    return longest
