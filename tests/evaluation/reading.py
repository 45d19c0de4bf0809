"""A page read back: its tables, its data, its tags."""

import json
from html.parser import HTMLParser
from typing import Any

import attrs


@attrs.define
class Read(HTMLParser):
    """What a page has in it.

    Attributes:
        tags: how often each is opened.
        addresses: every value of href, src and the like.
        tables: rows of texts, by the caption above each.
        data: the JSON of `#retake-data`.
        text: all that is shown.
    """

    tags: dict[str, int] = attrs.field(factory=dict)
    addresses: list[str] = attrs.field(factory=list)
    tables: dict[str, list[list[str]]] = attrs.field(factory=dict)
    data: Any = None
    text: str = ""
    _caption: str = ""
    _row: list[str] | None = None
    _into: str = ""

    def __attrs_pre_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, given: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.addresses += [value or "" for name, value in given if name in _ADDRESSES]
        if tag == "figcaption":
            self._caption = ""
        if tag == "table":
            self.tables[self._caption] = []
        if tag == "tr":
            self._row = []
        if tag in ("td", "th") and self._row is not None:
            self._row.append("")
        if tag == "small" and self._row:
            self._row[-1] += " "
        self._into = tag if tag in ("figcaption", "script", "style") else self._into

    def handle_endtag(self, tag: str) -> None:
        if tag == "tr" and self._row is not None:
            self.tables[self._caption].append(self._row)
            self._row = None
        if tag == self._into:
            self._into = ""

    def handle_data(self, data: str) -> None:
        if self._into == "script":
            self.data = json.loads(data)
        elif self._into == "figcaption":
            self._caption += data
        elif self._row:
            self._row[-1] += data.strip()
        if self._into not in ("script", "style"):
            self.text += data


_ADDRESSES = ("href", "src", "srcset", "action", "data", "poster", "xlink:href")


def read(page: str) -> Read:
    """A page's content."""
    found = Read()
    found.feed(page)
    found.close()
    return found
