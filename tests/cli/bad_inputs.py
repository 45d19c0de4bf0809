"""What goes wrong, and what is said then: one table, tested and printed.

`python -m tests.cli.bad_inputs` runs every case and writes docs/bad-inputs.md.
"""

import io
import json
import os
import shutil
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

from retake_cli.main import main

from retake.datasets.scenes import make_clip
from tests.cli import bad_benchmarks
from tests.cli.cases import Case, typed
from tests.video.broken import (
    make_audio_only,
    make_corrupt,
    make_empty,
    make_frames_folder,
    make_headless,
    make_noise,
    make_text,
    make_truncated,
)
from tests.video.make import make_video

_DOC = Path(__file__).parents[2] / "docs" / "bad-inputs.md"
_HEAD = """\
# Bad inputs

What goes wrong, and what `retake` says then. Exit code 2: the request is wrong; 1: a sound request
failed. Messages go to stderr. Written by `python -m tests.cli.bad_inputs`; every row is tested by
`tests/cli/test_bad_inputs.py`.
"""

MINE = {
    "wrong_kind.py": "class Wrong:\n    pass\n",
    "syntax.py": "class Broken(\n",
    "import_error.py": "import no_such_module\n",
    "abstract.py": "import retake\n\nclass Lazy(retake.KVCompressor):\n    pass\n",
    "shape.py": (
        "import retake\n\nclass Shape(retake.KVCompressor):\n"
        "    def score(self, chunk):\n        return chunk.keys.norm(dim=-1)\n"
    ),
    "nan.py": (
        "import retake\n\nclass Nan(retake.KVCompressor):\n"
        "    def score(self, chunk):\n"
        "        return chunk.keys.norm(dim=-1).mean(dim=0) * float('nan')\n"
    ),
    "two.py": (
        "import retake\n\nclass A(retake.KVCompressor):\n"
        "    def score(self, chunk):\n        return chunk.attention_mass()\n\n"
        "class B(A):\n    pass\n"
    ),
    "quiz.py": (
        "import attrs, pathlib, retake\n\n@attrs.frozen\nclass Quiz(retake.Benchmark):\n"
        "    twice: bool = False\n    worth: float = 1.0\n\n"
        "    def samples(self):\n"
        "        video, last = pathlib.Path('clip.mp4'), 'a' if self.twice else 'b'\n"
        "        return [retake.Sample(i, video, 'Which?', 'A', 'k') for i in ('a', last)]\n\n"
        "    def mark(self, sample, answer):\n        return self.worth\n"
    ),
}


def _run(what: str, extra: str, code: int, *says: str, video: str = "clip.mp4") -> Case:
    words = ("run", video, "Which?", "--model", "tiny", *extra.split())
    return Case(what, tuple(word for word in words if word), code, says)


def _video(what: str, video: str, *says: str, code: int = 1, extra: str = "") -> Case:
    return _run(what, extra, code, *says, video=video)


def _model(what: str, folder: str, *says: str) -> Case:
    return Case(what, ("run", "clip.mp4", "Which?", "--model", folder), 1, (folder, *says))


def _watch(what: str, output: str, *says: str) -> Case:
    return Case(what, ("watch", "clip.mp4", "--model", "tiny", "-o", output), 2, says)


def _ask(
    what: str, memory: str, *says: str, code: int = 1, question: str = "Which?", extra: str = ""
) -> Case:
    line = ("ask", memory, *([question] if question else []), *extra.split())
    return Case(what, line, code, says)


def _eval(what: str, extra: str, code: int, *says: str, quiz: str = "quiz.py:Quiz") -> Case:
    words = ("eval", quiz, "--model", "tiny", "--max-new-tokens", "2", *extra.split())
    return Case(what, tuple(word for word in words if word), code, says)


VIDEOS = (
    _video("no such file", "missing.mp4", "missing.mp4"),
    _video("empty file", "empty.mp4", "empty.mp4", "0 bytes"),
    _video("a text file", "text.mp4", "text.mp4"),
    _video("random bytes", "noise.mp4", "noise.mp4"),
    _video("download cut off", "cut.mkv", "cut.mkv", "cut short", "--on-bad-frame report"),
    _video("index never written", "headless.mp4", "headless.mp4"),
    _video("frames damaged", "corrupt.mp4", "corrupt.mp4"),
    _video("sound only", "sound.m4a", "sound.m4a"),
    _video("folder without pictures", "nothing", "nothing", extra="--folder-fps 2"),
    _video("folder, rate not stated", "frames", "frames", "--folder-fps 2", code=2),
    _video("folder with a gap", "gap", "gap", extra="--folder-fps 2"),
    _video("rate stated for a file", "clip.mp4", "folder_fps", code=2, extra="--folder-fps 2"),
    _video("no such clip", "clip:nope", "nope", "bundled clip", code=2),
)
MODELS = (
    _model("no such folder", "./missing", "no model"),
    _model("a file", "clip.mp4", "is a file"),
    _model("no config.json", "no-config", "config.json"),
    _model("config.json is not JSON", "bad-config"),
    _model("unknown model type", "unknown-type", "lava"),
    _model("no weights", "no-weights"),
    _model("weights cut off", "cut-weights"),
    _model("weights missing", "few-weights", "missing"),
    _model("no tokenizer", "no-tokenizer", "no tokenizer"),
    _model("no chat template", "no-template", "chat template"),
)
NAMES = (
    _run("misspelt selector", "--selector dpselct", 2, "dpselct", "Did you mean 'dpselect'"),
    _run("misspelt compressor", "--compressor pivotvk", 2, "pivotvk", "'pivotkv'"),
    _run("misspelt preset", "--preset qwen2vl/mlvu", 2, "qwen2vl/mlvu", "'qwen2-vl/mlvu'"),
    _run("misspelt backend", "--backend cudaa", 2, "cudaa", "'cuda'"),
    _run("misspelt reader", "--reader decrod", 2, "decrod", "'decord'"),
    _run("misspelt positions", "--positions reforged", 2, "reforged", "'reforge'"),
    _run("misspelt adapter", "--adapter qwen2vl", 2, "qwen2vl", "'qwen2-vl'"),
    _run("misspelt flag", "--slector none", 2, "--slector", "--selector"),
    Case("misspelt command", ("rnu", "clip.mp4"), 2, ("rnu", "'run'")),
    Case("misspelt list", ("list", "selectrs"), 2, ("selectrs", "'selectors'")),
    _run("unknown option of a selector", "--selector-option windw=3", 2, "windw", "'window'"),
    _run("option without value", "--selector-option window", 2, "KEY=VALUE", "window"),
    _run("option of the wrong type", "--selector dpselect:window=big", 2, "window", "'big'"),
    _run("option out of range", "--selector dpselect:window=4", 2, "window", "odd"),
    _run("unknown generation setting", "--generate-option heat=1", 2, "heat"),
)
NUMBERS = (
    _run("budget of nothing", "--budget 0", 2, "budget", "at least 1"),
    _run("budget below the prompt", "--budget 20", 2, "budget of 20", "at least"),
    _run("budget that is no number", "--budget much", 2, "--budget", "much"),
    _run("budget and ratio", "--budget 500 --keep-ratio 0.5", 2, "--budget", "--keep-ratio"),
    _run("budget without eviction", "--compressor none --budget 50", 2, "none", "50"),
    _run("ratio without eviction", "--compressor none --keep-ratio 0.5", 2, "keep_ratio"),
    _run("ratio of nothing", "--keep-ratio 0", 2, "keep_ratio", "above 0"),
    _run("ratio above one", "--keep-ratio 2", 2, "keep_ratio", "at most 1"),
    _run("ratio that is no number", "--keep-ratio abc", 2, "--keep-ratio", "abc"),
    _run("rate of nothing", "--fps 0", 2, "fps", "above 0"),
    _run("one frame for a model of pairs", "--max-frames 1", 2, "max_frames"),
    _run("negative seed", "--seed -1", 2, "seed", "-1"),
    _run("beams and stream", "--beams 2 --stream", 2, "--stream", "beams"),
    _run("stream and JSON", "--json --stream", 2, "--stream", "--json"),
    _run("temperature of nothing", "--sample --temperature 0", 2, "temperature", "above 0"),
)
FILES = (
    _run("no such configuration", "--config missing.yaml", 2, "missing.yaml"),
    _run("YAML that does not parse", "--config syntax.yaml", 2, "syntax.yaml", "line 3"),
    _run("YAML that is a list", "--config list.yaml", 2, "list.yaml", "list"),
    _run("unknown key in YAML", "--config key.yaml", 2, "key.yaml", "fpss", "'fps'"),
    _run("unknown section in YAML", "--config section.yaml", 2, "section.yaml", "'video'"),
    _run("configuration that is no text", "--config noise.mp4", 2, "noise.mp4"),
    _run("configuration that is a folder", "--config frames", 2, "frames"),
    _run("--set of an unknown key", "--set video.fpss=2", 2, "fpss", "'fps'"),
    _run("--set through a value", "--set seed.x=2", 2, "seed"),
    _run("no such questions", "--questions missing.txt", 2, "missing.txt"),
    _run("no question in the file", "--questions empty.mp4", 2, "empty.mp4", "no questions"),
    Case("no question", ("run", "plain.mp4"), 2, ("plain.mp4", "no question")),
    Case("empty question", ("run", "plain.mp4", " "), 2, ("Question 1 is empty",)),
    Case("no video", ("run",), 2, ("VIDEO",)),
)
CODE = (
    _run("no such file of code", "--compressor ./none.py:Mine", 2, "./none.py"),
    _run("class not named", "--compressor two.py", 2, "two.py:A", "two.py:B"),
    _run("no such class", "--compressor two.py:C", 2, "two.py", "'C'"),
    _run("class of another kind", "--compressor wrong_kind.py:Wrong", 2, "KVCompressor"),
    _run("class without score()", "--compressor abstract.py:Lazy", 2, "score"),
    _run("syntax error", "--compressor syntax.py:Broken", 2, "syntax.py", "SyntaxError"),
    _run("failing import", "--compressor import_error.py:X", 2, "no_such_module"),
    _run(
        "scores of the wrong shape",
        "--keep-ratio 0.5 --compressor shape.py:Shape",
        2,
        "Shape.score()",
    ),
    _run("scores that are no numbers", "--keep-ratio 0.5 --compressor nan.py:Nan", 2, "NaN"),
    _run("no such module", "--selector no.such.module:X", 2, "no.such.module"),
)
MEMORIES = (
    _watch("watched into no folder", "no/m.retake", "no/m.retake", "'no'"),
    _watch("watched into a folder", "frames", "frames", "it is a folder"),
    _watch("watched over a video", "clip.mp4", "clip.mp4", "no memory of retake"),
    Case("watching nothing", ("watch",), 2, ("VIDEO",)),
    Case("watching with beams", ("watch", "clip.mp4", "--beams", "2"), 2, ("--beams",)),
    _ask("no such memory", "missing.retake", "missing.retake", "retake watch"),
    _ask("memory that is empty", "empty.mp4", "empty.mp4", "it is empty"),
    _ask("memory that is a video", "clip.mp4", "clip.mp4", "no memory of retake"),
    _ask("memory that is a folder", "frames", "frames", "it is a folder"),
    _ask("memory that is a checkpoint's weights", "tiny/model.safetensors", "something else"),
    _ask("memory cut off", "cut.retake", "cut.retake", "cut short"),
    _ask("memory changed by one bit", "changed.retake", "changed.retake", "hash"),
    _ask("memory of a later retake", "newer.retake", "newer.retake", "Upgrade retake"),
    _ask("memory of another model", "m.retake", "tiny", "other", extra="--model other", code=2),
    _ask("memory whose model is gone", "gone.retake", "no model", "--model PATH"),
    _ask("nothing asked", "m.retake", "no question", "--questions", question="", code=2),
    _ask("nothing in the question", "m.retake", "Question 1 is empty", question=" ", code=2),
    _ask("option that the memory decides", "m.retake", "--dtype", extra="--dtype float16", code=2),
)
EVALUATIONS = (
    _eval("misspelt benchmark", "-o new", 2, "scnes", "'scenes'", quiz="scnes"),
    _eval("unknown option of a benchmark", "-o new", 2, "'videos'", quiz="scenes:vidoes=3"),
    _eval("benchmark option out of range", "-o new", 2, "videos", quiz="scenes:videos=0"),
    _eval("no benchmark", "-o new", 2, "BENCHMARK", "scenes", quiz=""),
    _eval("nowhere to keep it", "", 2, "-o FOLDER"),
    _eval("into no folder", "-o no/run", 2, "'no'"),
    _eval("into a file", "-o clip.mp4", 2, "clip.mp4", "is a file"),
    _eval("among other things", "-o frames", 2, "frames", "holds other things"),
    _eval("over a run", "-o done", 2, "done", "--resume"),
    _eval("resumed otherwise", "-o done --resume --seed 3", 2, "seed: was 0, is 3"),
    _eval("resumed with other samples", "-o done --resume --limit 1", 2, "--limit: was none"),
    _eval("damaged in the middle", "-o hurt --resume", 1, "samples.jsonl", "line 1"),
    _eval("answered twice", "-o twice --resume", 1, "samples.jsonl", "line 3", "'a'"),
    _eval("what was run is not known", "-o unknown --resume", 1, "unknown", "run.json"),
    _eval("run of a later retake", "-o later --resume", 1, "Upgrade retake"),
    _eval("ids that occur twice", "-o new", 2, "Quiz", "'a'", quiz="quiz.py:Quiz:twice=true"),
    _eval("marks above one", "-o worth", 2, "Quiz.mark()", "7", quiz="quiz.py:Quiz:worth=7"),
)
PAGES = (
    typed("page of other things", "report frames", 1, "frames", "neither a run nor a sweep"),
    typed("page of nothing", "report nowhere", 1, "'nowhere'"),
    typed("page of a damaged run", "report hurt", 1, "samples.jsonl", "line 1"),
    typed("page into no folder", "report done -o no/page.html", 2, "no/page.html"),
    typed("page into a folder", "report done -o frames", 2, "'frames' is a folder"),
    typed("compared with other things", "compare done frames", 1, "frames", "neither a run"),
    typed("compared with nothing", "compare done nowhere", 1, "'nowhere'"),
    typed("compared with itself", "compare done frames/../done", 2, "given twice"),
    typed("compared with a damaged run", "compare done hurt", 1, "samples.jsonl", "line 1"),
    typed("inspecting no video", "inspect missing.mp4", 1, "missing.mp4"),
    typed(
        "inspecting without a question", "inspect clip.mp4 --method none+adaretake", 2, "question"
    ),
)
DATA = (
    typed("output exists", "data make scenes -o clip.mp4", 2, "clip.mp4", "--force"),
    typed("no such folder", "data make scenes -o no/x.mp4", 2, "'no'"),
    typed("not an mp4", "data make scenes -o x.avi", 2, "x.avi", ".mp4"),
    typed("too short", "data make scenes -o x.mp4 --minutes 0", 2, "too short"),
    typed("too many needles", "data make scenes -o x.mp4 --needles 99", 2, "99"),
)
GROUPS: dict[str, tuple[Case, ...]] = {
    "Videos": VIDEOS,
    "Models": MODELS,
    "Names": NAMES,
    "Numbers": NUMBERS,
    "Configuration and questions": FILES,
    "Code of your own": CODE,
    "Memories": MEMORIES,
    "Evaluations": EVALUATIONS,
    "Published benchmarks, workers, judges and submissions": bad_benchmarks.CASES,
    "Pages": PAGES,
    "Making data": DATA,
}
CASES = tuple(case for group in GROUPS.values() for case in group)


def prepare(folder: Path, make_checkpoint: Callable[..., Path]) -> None:
    """Fill a folder with everything that the cases name."""
    make_clip(folder / "clip.mp4", seconds=4, seed=1, size=64)
    shutil.copy(folder / "clip.mp4", folder / "plain.mp4")
    _bad_videos(folder)
    _bad_models(folder, make_checkpoint)
    _bad_memories(folder, make_checkpoint)
    for name, text in MINE.items():
        (folder / name).write_text(text)
    (folder / "syntax.yaml").write_text("video:\n  fps: [1\n")
    (folder / "list.yaml").write_text("- video\n")
    (folder / "key.yaml").write_text("video:\n  fpss: 1\n")
    (folder / "section.yaml").write_text("vidio:\n  fps: 1\n")
    _bad_runs(folder)
    bad_benchmarks.prepare(folder)


def _bad_videos(folder: Path) -> None:
    make_empty(folder / "empty.mp4")
    make_text(folder / "text.mp4")
    make_noise(folder / "noise.mp4")
    make_audio_only(folder / "sound.m4a")
    sound = make_video(folder / "sound.mkv")
    make_truncated(folder / "cut.mkv", sound)
    whole = make_video(folder / "whole.mp4")
    make_headless(folder / "headless.mp4", whole)
    make_corrupt(folder / "corrupt.mp4", whole, range(1, 40))
    (folder / "nothing").mkdir()
    make_frames_folder(folder / "frames")
    make_frames_folder(folder / "gap", numbers=(0, 1, 2, 5, 6))


def _bad_models(folder: Path, make_checkpoint: Callable[..., Path]) -> None:
    good = make_checkpoint(folder / "tiny")
    make_checkpoint(folder / "no-tokenizer", tokenizer=False)
    make_checkpoint(folder / "no-template", template=None)
    for name in ("no-config", "bad-config", "unknown-type", "no-weights", "cut-weights"):
        shutil.copytree(good, folder / name)
    (folder / "no-config" / "config.json").unlink()
    (folder / "bad-config" / "config.json").write_text("{ this is not JSON")
    config = json.loads((good / "config.json").read_text())
    for name, changes in (("unknown-type", {"model_type": "lava"}),):
        (folder / name / "config.json").write_text(json.dumps({**config, **changes}))
    (folder / "no-weights" / "model.safetensors").unlink()
    weights = folder / "cut-weights" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    make_checkpoint(folder / "few-weights", num_hidden_layers=1)
    (folder / "few-weights" / "config.json").write_text((good / "config.json").read_text())


def _bad_memories(folder: Path, make_checkpoint: Callable[..., Path]) -> None:
    make_checkpoint(folder / "other", seed=1)
    for name, model in (("m", "tiny"), ("gone", "other-place")):
        if model != "tiny":
            shutil.copytree(folder / "tiny", folder / model)
        words = ("watch", "clip.mp4", "--model", model, "-o", f"{name}.retake")
        outcome(Case(name, words, 0, ()), folder)
    shutil.rmtree(folder / "other-place")
    whole = (folder / "m.retake").read_bytes()
    (folder / "cut.retake").write_bytes(whole[: len(whole) // 2])
    changed = bytearray(whole)
    changed[-1000] ^= 1
    (folder / "changed.retake").write_bytes(changed)
    newer = whole.replace(b"retake.memory/1", b"retake.memory/2")
    (folder / "newer.retake").write_bytes(newer)


def _bad_runs(folder: Path) -> None:
    outcome(_eval("a run", "-o done", 0), folder)
    for name in ("hurt", "twice", "unknown", "later"):
        shutil.copytree(folder / "done", folder / name)
    first, second = (folder / "done" / "samples.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "hurt" / "samples.jsonl").write_bytes(first[:50] + b"\n" + second)
    (folder / "twice" / "samples.jsonl").write_bytes(first + second + first)
    (folder / "unknown" / "run.json").unlink()
    later = folder / "later" / "run.json"
    later.write_text(later.read_text().replace("retake.run-folder/2", "retake.run-folder/3"))


def outcome(case: Case, folder: Path) -> tuple[int, str, str]:
    """Run a case in its folder: exit code, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    with chdir(folder), redirect_stdout(out), redirect_stderr(err):
        code = main(case.line)
    return code, out.getvalue(), err.getvalue()


def _row(case: Case, folder: Path) -> str:
    code, _, err = outcome(case, folder)
    typed = " ".join(f"'{word}'" if " " in word else word for word in case.line)
    typed = typed.replace(" Which? --model tiny", " …").replace(" Which?", " …")
    typed = typed.replace(" --model tiny --max-new-tokens 2", " …")
    message = " ".join(err.split()).replace("|", "\\|").replace("<", "&lt;")
    return f"| {case.what} | `retake {typed}` | {code} | {message} |"


def write(make_checkpoint: Callable[..., Path]) -> None:
    """Run every case and write the page."""
    lines = [_HEAD]
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        prepare(folder, make_checkpoint)
        for group, cases in GROUPS.items():
            rows = [_row(case, folder) for case in cases]
            header = ["| what | command | exit | message |", "|---|---|---|---|"]
            lines.append("\n".join([f"## {group}", "", *header, *rows]) + "\n")
    text = "\n".join(lines)
    _DOC.write_text(text.replace(os.fspath(folder), "…"), encoding="utf-8")


if __name__ == "__main__":
    from tests.tiny.qwen2_vl import make

    write(make)
    print(f"{len(CASES)} cases in {_DOC}")
