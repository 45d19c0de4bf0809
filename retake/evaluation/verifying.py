"""Whether a benchmark is there as a whole, before days are spent on it."""

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path

import attrs

from retake.core.archives import place_in
from retake.core.benchmark import Benchmark, Count, Holding
from retake.core.errors import RetakeError, UsageError
from retake.datasets.files.finding import VIDEOS, VideoFinder
from retake.evaluation.soundness import Checked, StoppedError, check, check_inside

#: Told how many files were looked at, and how many there are.
Told = Callable[[int, int], None]

_WORKERS = 4
_QUESTIONS = "questions"
_SUBTITLES = frozenset({".srt"})


@attrs.frozen
class Surplus:
    """Something under the benchmark's folder that it does not consist of.

    Attributes:
        path: the file, folder or archive; it may lead into an archive.
        bytes: its size; None where that was not counted.
    """

    path: Path
    bytes: int | None


@attrs.frozen
class Verification:
    """What was found of a benchmark.

    Attributes:
        root: its folder; None where it says none.
        deep: whether every frame was decoded and every archive read.
        checked: every file that it consists of, in its order.
        surplus: what else there is of such files.
        unreadable: archives and folders under the root that cannot be read, and why.
        counts: how many questions, videos, … it has, and how many were published.
    """

    root: Path | None
    deep: bool
    checked: tuple[Checked, ...]
    surplus: tuple[Surplus, ...]
    unreadable: tuple[tuple[Path, str], ...]
    counts: Mapping[str, Count] = attrs.field(factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether everything that a run needs is there and can be read."""
        return all(one.is_usable for one in self.checked if one.holding.needed)

    @property
    def not_as_published(self) -> dict[str, Count]:
        """What there is more or less of than was published; that stops no run."""
        return {what: one for what, one in self.counts.items() if not one.is_published}

    def of(self, what: str) -> list[Checked]:
        """The files of one kind."""
        return [one for one in self.checked if one.holding.what == what]


def verify(
    benchmark: Benchmark, *, deep: bool = False, progress: Told | None = None
) -> Verification:
    """Look at every file that a benchmark consists of.

    Files are looked at by a few threads at once; of files in archives one after the other.

    Args:
        benchmark: one that is downloaded.
        deep: decode all frames of all videos, and unpack those in archives for it, one at a time
            a thread.
        progress: called from this thread.

    Raises:
        UsageError: the benchmark makes its videos itself, or not even its annotations can be read.
    """
    holdings = _once(benchmark.holdings())
    if not holdings:
        raise UsageError(
            f"{type(benchmark).__name__} makes its videos itself: there is nothing to verify."
        )
    counts = _counts(benchmark)
    checked = _checked(holdings, deep, progress)
    if counts.get(_QUESTIONS, Count(1)).found == 0:
        checked = tuple(_without_questions(one) for one in checked)
    root = getattr(benchmark, "root", None)
    surplus, unreadable = _surplus(Path(root).expanduser(), holdings) if root else ((), ())
    return Verification(
        root=Path(root).expanduser() if root else None,
        deep=deep,
        checked=checked,
        surplus=surplus,
        unreadable=unreadable,
        counts=counts,
    )


def _counts(benchmark: Benchmark) -> Mapping[str, Count]:
    """How much there is of it; nothing where that cannot be told without what is missing."""
    try:
        return benchmark.counts()
    except RetakeError:
        return {}


def _without_questions(one: Checked) -> Checked:
    """Annotations that nobody can be asked from are as good as none."""
    if one.holding.what != "annotations" or not one.holding.needed or not one.is_usable:
        return one
    return attrs.evolve(
        one, state="corrupt", reason=f"There are no questions in {one.holding.path}."
    )


def _once(holdings: Iterable[Holding]) -> list[Holding]:
    """Each file once, needed where it is for anything."""
    found: dict[tuple[str, Path], Holding] = {}
    for holding in holdings:
        key = holding.what, holding.path
        if key not in found or holding.needed > found[key].needed:
            found[key] = holding
    return list(found.values())


def _checked(holdings: Sequence[Holding], deep: bool, progress: Told | None) -> tuple[Checked, ...]:
    stop = threading.Event()
    loose, inside = _by_archive(holdings, deep)
    results: dict[tuple[str, Path], Checked] = {}
    workers = min(_WORKERS, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers, thread_name_prefix="retake-verify") as pool:
        try:
            pending: list[Future[list[Checked]]] = [
                pool.submit(lambda one: [check(one, deep=deep, stop=stop)], holding)
                for holding in loose
            ]
            pending += [
                pool.submit(check_inside, path, some, deep=deep, stop=stop) for path, some in inside
            ]
            for future in as_completed(pending):
                for one in future.result():
                    results[one.holding.what, one.holding.path] = one
                if progress is not None:
                    progress(len(results), len(holdings))
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return tuple(results[holding.what, holding.path] for holding in holdings)


def _by_archive(
    holdings: Sequence[Holding], deep: bool
) -> tuple[list[Holding], list[tuple[Path, list[Holding]]]]:
    """The files that are in no archive, and the others by theirs; one by one if it takes long."""
    loose: list[Holding] = []
    inside: dict[Path, list[Holding]] = {}
    for holding in holdings:
        try:
            place = place_in(holding.path)
        except RetakeError:
            place = None  # an archive that is not there: it is missing, as any file is
        if place is None:
            loose.append(holding)
        else:
            inside.setdefault(place.archive, []).append(holding)
    if deep:
        return loose, [(path, [one]) for path, some in inside.items() for one in some]
    return loose, list(inside.items())


def _surplus(
    root: Path, holdings: Sequence[Holding]
) -> tuple[tuple[Surplus, ...], tuple[tuple[Path, str], ...]]:
    """What else lies under the root of the kinds of file that it consists of."""
    if not root.is_dir():
        return (), ()
    suffixes = {
        one.path.suffix.lower() for one in holdings if one.what in ("subtitles", "annotations")
    }
    finder = VideoFinder(root, suffixes=VIDEOS | _SUBTITLES | (suffixes - {""}))
    paths = finder.surplus(one.path for one in holdings)
    sizes = {entry.path: entry.bytes for entry in finder.listing.entries}
    archives = finder.listing.archives
    found = tuple(
        Surplus(path, _bytes(sizes.get(path), archives.get(path, [path]))) for path in paths
    )
    unreadable = tuple((path, str(why)) for path, why in finder.listing.unreadable.items())
    return found, unreadable


def _bytes(inside: int | None, files: Iterable[Path]) -> int | None:
    if inside is not None:
        return inside
    try:
        return sum(file.stat().st_size for file in files if file.is_file()) or None
    except OSError:
        return None


__all__ = ["Checked", "StoppedError", "Surplus", "Verification", "verify"]
