"""What goes wrong with published benchmarks, workers, judges and submissions."""

from pathlib import Path

from tests.cli.cases import Case, typed
from tests.miniatures import videomme

_VM = "videomme:root=vm"


def _eval(what: str, benchmark: str, *says: str, extra: str = "-o new") -> Case:
    return typed(what, f"eval {benchmark} {extra}", 2, *says)


CASES = (
    _eval("not said where it is", "videomme", "root=DIR", "docs/datasets/videomme.md"),
    _eval("not where it is said", "mlvu:root=nowhere", "nowhere", "docs/datasets/mlvu.md"),
    _eval("a folder of something else", "lvbench:root=frames", "frames", "video_info.meta.jsonl"),
    _eval("misspelt protocol", f"{_VM},protocol=oficial", "oficial", "'official'"),
    _eval("protocol that it has not", "longvideobench:protocol=retake,root=vm", "official"),
    _eval("misspelt rule of reading", f"{_VM},extraction=lenent", "lenent", "'lenient'"),
    _eval("misspelt treatment", f"{_VM},unparsed=wrang", "wrang", "'wrong'"),
    _eval("misspelt subtitles", f"{_VM},subtitles=frame", "frame", "frames"),
    _eval("split that there is not", "mlvu:root=vm,split=val", "dev", "test"),
    _eval("table that is damaged", "videomme:root=torn", "torn"),
    typed("verifying nowhere", "data verify videomme --root nowhere", 2, "nowhere"),
    typed("verifying what is not said", "data verify videomme", 2, "root"),
    typed("verifying what is generated", "data verify scenes", 2, "makes its videos itself"),
    _eval("no workers", "quiz.py:Quiz", "--workers", extra="-o new --workers 0"),
    _eval("misspelt launcher", "quiz.py:Quiz", "rai", extra="-o new --launcher rai"),
    _eval("no ranks", "quiz.py:Quiz", "RANK", "torchrun", extra="-o new --launcher torchrun"),
    typed("judging nothing", "judge nowhere --model m", 1, "nowhere"),
    typed("judging without a judge", "judge done", 2, "--model"),
    typed("judging what needs no judge", "judge done --model m", 2, "judge"),
    typed("submitting nothing", "submission nowhere", 1, "nowhere"),
    typed("submitting to nobody", "submission done", 2, "takes no submissions"),
)


def prepare(folder: Path) -> None:
    """Fill a folder with the benchmarks that the cases name."""
    videomme.make(folder / "vm", annotations="json", videos="none", subtitles="none")
    torn = folder / "torn"
    videomme.make(torn, annotations="json", videos="none", subtitles="none")
    table = torn / videomme.JSON
    table.write_bytes(table.read_bytes()[:200])
