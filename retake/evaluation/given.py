"""The folders of runs and sweeps as a person names them: what is wrong with them is said first."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from retake.core.errors import RunFolderError, UsageError
from retake.evaluation.records import SAMPLES, is_run
from retake.evaluation.sweep_folder import is_sweep


def check_given(folders: Sequence[Path]) -> None:
    """Refuse what can be no run and no sweep; damaged ones are refused when they are read.

    Raises:
        UsageError: a folder is given twice.
        RunFolderError: one is missing, or holds neither.
    """
    check_different(folders)
    for folder in folders:
        _check(folder)


def check_different(folders: Iterable[Path]) -> None:
    """Refuse one folder given twice, by whatever paths.

    Raises:
        UsageError: there is one.
    """
    seen: set[Path] = set()
    for folder in folders:
        if folder.resolve() in seen:
            raise UsageError(f"'{folder}' is given twice.")
        seen.add(folder.resolve())


def _check(folder: Path) -> None:
    if not folder.exists():
        raise RunFolderError(f"There is no folder '{folder}'.")
    if not folder.is_dir():
        raise RunFolderError(f"'{folder}' is a file, not the folder of a run.")
    # With samples it is a run that lost its header, which reading it says.
    if not (is_sweep(folder) or is_run(folder) or (folder / SAMPLES).exists()):
        raise RunFolderError(
            f"'{folder}' holds neither a run nor a sweep: it has no run.json and no sweep.json.",
            hint=_inside(folder)
            or "A run is a folder that `retake eval` wrote, a sweep one that `retake sweep` wrote.",
        )


def _inside(folder: Path) -> str | None:
    """Where runs lie, if they lie one folder deeper."""
    try:
        inner = sorted(each for each in folder.iterdir() if each.is_dir())
    except OSError:
        return None
    runs = [str(each) for each in inner if is_run(each) or is_sweep(each)]
    if not runs:
        return None
    more = f" and {len(runs) - 3} more" if len(runs) > 3 else ""
    return f"There are runs inside it: {', '.join(runs[:3])}{more}."
