"""The code outside this package that a run rests on: what it was, and whether it is the same.

A part or a benchmark from a file is asked for by the file's name, which says nothing of what is
in it. So a run keeps the hash of it. And one file has many names: what decides whether two
references mean one class is where they lead, or what the files hold.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from retake import loading
from retake.core.benchmark import Benchmark
from retake.core.config import PartOptions
from retake.core.provenance import code_of
from retake.evaluation.differing import Difference

#: SHA-256 by file or module; empty where a run is older than this record.
Code = Mapping[str, str]


def code_behind(
    benchmark: tuple[str, Benchmark], parts: Iterable[tuple[Any, PartOptions]]
) -> dict[str, str]:
    """SHA-256 of all code that a benchmark, parts and the parts inside them were taken from."""
    name, itself = benchmark
    classes = [(name, type(itself))]
    classes += [each for part, named in parts for each in loading.parts_within(part, named)]
    return {key: held for name, cls in classes for key, held in code_of(cls, name).items()}


@attrs.frozen
class Alike:
    """Whether two values of two runs mean the same, whatever path leads to the same file.

    Args:
        was, now: the code of the runs.
    """

    was: Code
    now: Code

    def __call__(self, was: Any, now: Any) -> bool:
        if was == now or not (isinstance(was, str) and isinstance(now, str)):
            return bool(was == now)
        (file, _, cls), (other, _, other_cls) = was.rpartition(":"), now.rpartition(":")
        if cls != other_cls or not (file.endswith(".py") and other.endswith(".py")):
            return False
        held = self.was.get(file)
        return _one_file(file, other) or (held is not None and held == self.now.get(other))


def changed_code(was: Code, now: Code) -> Iterator[tuple[str, str, str]]:
    """Files and modules that both runs were taken from, and what they held for each."""
    for name, held in was.items():
        found = name if name in now else next((each for each in now if _one_file(name, each)), None)
        if found is not None and now[found] != held:
            yield name, held, now[found]


def code_differences(was: Code, now: Code) -> Iterator[Difference]:
    """The same, as what stands in the way of going on."""
    for name, held, other in changed_code(was, now):
        yield Difference(f"the code in {name}", held[:8], other[:8])


def _one_file(name: str, other: str) -> bool:
    if not (name.endswith(".py") and other.endswith(".py")):
        return False
    return Path(name).expanduser().resolve() == Path(other).expanduser().resolve()
