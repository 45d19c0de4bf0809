"""What published benchmarks that are answered by a letter have in common.

The idea: whoever published numbers asked, read, marked and averaged in a way of their own
(`retake.datasets.protocols`). A benchmark names the protocol and may exchange each part of it;
what is left to it are its files, its groups and its submission.
"""

import ast
import math
import os
import re
from collections.abc import Collection, Hashable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, TypeVar

import attrs

from retake.core.benchmark import Benchmark, Sample
from retake.core.errors import UsageError
from retake.datasets.extraction import LETTERS
from retake.datasets.protocols import Protocol, resolve

T = TypeVar("T")

#: "A. red", "(A) red", "A) red", "A: red", "A . red", "a. red"; all but the first are rare.
_LETTERED = re.compile(r"\s*\(?([A-Fa-f])\s*(?:\. ?|[).:]\s*)(.*)", re.DOTALL)

#: "/a", "\\\\server\\a", "C:\\a"
_ABSOLUTE = re.compile(r"[\\/]|[A-Za-z]:[\\/]")


def as_text(path: str | os.PathLike[str] | None) -> str | None:
    """A path as options keep it."""
    return None if path is None else os.fspath(path)


@attrs.frozen
class Published(Benchmark):
    """A benchmark that is downloaded and answered by a letter.

    Attributes:
        root: the folder that it was downloaded to.
        protocol: whose way of asking, reading, marking and averaging: the "official" one, …
        prompt, extraction, unparsed, average: other than the protocol's.
        seed: of the guesses where `unparsed` is "guess".
    """

    #: How it is called, in messages, docs and `PROTOCOLS`.
    name: ClassVar[str] = ""

    root: str | None = attrs.field(default=None, converter=as_text)
    protocol: str = "official"
    prompt: str | None = None
    extraction: str | None = None
    unparsed: str | None = None
    average: str | None = None
    seed: int = 0

    def __attrs_post_init__(self) -> None:
        """Refuse names that there are not before anything is read."""
        self.rules  # noqa: B018

    @property
    def rules(self) -> Protocol:
        """The protocol, with what replaces parts of it."""
        return resolve(
            self.name,
            self.protocol,
            prompt=self.prompt,
            extraction=self.extraction,
            unparsed=self.unparsed,
            average=self.average,
        )

    @property
    def folder(self) -> Path:
        """The folder that it was downloaded to.

        Raises:
            UsageError: none is given, or it is not there.
        """
        if not self.root:
            raise UsageError(
                f"{self.name} is not shipped: say where it is.",
                hint=f"Give the folder that it was downloaded to, with --benchmark-option "
                f"root=DIR; docs/datasets/{self.name}.md says how to get it.",
            )
        folder = Path(self.root).expanduser()
        if not folder.is_dir():
            raise UsageError(
                f"{self.name} is not at '{folder}': there is no such folder.",
                hint=f"docs/datasets/{self.name}.md says how to get it.",
            )
        return folder

    def parse(self, sample: Sample, answer: str) -> str | None:
        return self.rules.read(answer, sample.options)

    def mark(self, sample: Sample, answer: str) -> float | None:
        return self.rules.mark(sample, answer, self.seed)


def options_of(value: Any, where: str) -> tuple[str, ...]:
    """The texts of a question's options, without the letters that may stand before them.

    Args:
        value: a list or an array of texts, or one text that holds the list as Python or JSON
            writes it.
        where: it is from, for messages: "row 3 of 'test.parquet'".

    Raises:
        UsageError: it is none of these, fewer than two or more than six, or only some have their
            letters.
    """
    listed = listed_options(value, where)
    found = [_LETTERED.fullmatch(one) for one in listed]
    letters = [one[1].upper() if one else None for one in found]
    in_order = [one == due for one, due in zip(letters, LETTERS, strict=False)]
    if all(in_order):
        return tuple(one[2] for one in found if one)
    # One alone may be an initial: "A. Lincoln".
    if sum(in_order) > 1:
        other = listed[in_order.index(False)]
        raise UsageError(
            f"Some of the options in {where} begin with their letters, and {other!r:.60} does not.",
            hint="Write the letters before all of them, or before none.",
        )
    return listed


def listed_options(value: Any, where: str) -> tuple[str, ...]:
    """The same as they stand there, with any letters.

    Raises:
        UsageError: as above, letters aside.
    """
    listed = _listed(value)
    if not isinstance(listed, list | tuple) or not all(isinstance(one, str) for one in listed):
        raise UsageError(f"The options in {where} must be a list of texts, and are {value!r:.80}.")
    if not 2 <= len(listed) <= len(LETTERS):
        raise UsageError(f"There must be 2 to {len(LETTERS)} options in {where}: {value!r:.80}.")
    return tuple(listed)


def plain_name(name: str, what: str, where: str) -> str:
    """The name of a file below the benchmark's folder, as the annotations have it.

    Args:
        name: may lead through folders: "1_plotQA/a.mp4".
        what, where: the column and the row that it is from, for messages.

    Raises:
        UsageError: it is empty, or leads out of the folder.
    """
    outside = _ABSOLUTE.match(name) or ".." in re.split(r"[\\/]", name)
    if outside or not PurePosixPath(name).name or "\0" in name:
        raise UsageError(
            f"'{what}' in {where} must name a file below the benchmark's folder, and is "
            f"{name!r:.80}."
        )
    return name


def positive(value: Any) -> float | None:
    """A number above 0, such as a video's seconds, also as text; None of anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if 0 < number < math.inf else None


def check_unique(ids: Iterable[str], path: Path) -> None:
    """Refuse a table in which two questions have the same id.

    Raises:
        UsageError: two have; the id is named.
    """
    seen: set[str] = set()
    for one in ids:
        if one in seen:
            raise UsageError(
                f"Two questions in '{path}' have the id '{one}'.",
                hint="Tables that were put together by hand may hold some twice.",
            )
        seen.add(one)


def check_answered(ids: Iterable[str], known: Collection[str], path: Path) -> None:
    """Refuse answers to questions that are not, or no longer, in the table.

    Raises:
        UsageError: there are some; the first is named.
    """
    lost = [one for one in ids if one not in known]
    if lost:
        raise UsageError(
            f"{len(lost)} of the answered questions are not in '{path}', such as '{lost[0]}': the "
            "table has changed since the run.",
            hint="Put the table back that the run was made with, or evaluate anew.",
        )


def side_by_side(keyed: Iterable[tuple[Hashable, T]]) -> Sequence[T]:
    """What has the same key brought together, in the order in which keys first occur."""
    together: dict[Hashable, list[T]] = {}
    for key, one in keyed:
        together.setdefault(key, []).append(one)
    return [one for some in together.values() for one in some]


def _listed(value: Any) -> Any:
    """A list from an array, or from the text of one; anything else as it is."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            return ast.literal_eval(value.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return value
    return value
