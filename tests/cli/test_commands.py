"""`retake list`, `doctor` and `data`, and what holds for every command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from retake_cli import main as program
from retake_cli.parts import attribute_help, options_of, type_name

from retake import presets
from retake.core.config import RunConfig, VideoOptions, structure
from retake.core.errors import UsageError
from retake.datasets.scenes import Clip
from retake.selectors.dpselect import DPSelect
from tests.cli.conftest import Run


def test_alone_it_prints_help(retake: Run) -> None:
    """`retake` is `retake --help`."""
    assert retake().out == retake("-h").out
    assert "doctor" in retake().out


@pytest.mark.parametrize(
    "words", [("--help",), *((name, "-h") for name in ("run", "watch", "ask", "list", "doctor"))]
)
def test_help_is_quick(words: tuple[str, ...]) -> None:
    """Help imports neither torch nor retake."""
    code = (
        "import sys; from retake_cli.main import main; code = main(sys.argv[1:]);"
        "sys.exit(code or 3 * bool({'torch', 'retake', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr


def test_version(retake: Run) -> None:
    """The installed version, and nothing else."""
    result = retake("--version")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("retake ")


def test_list_shows_every_kind(retake: Run) -> None:
    """Every part with its paper and its options."""
    result = retake("list")
    assert (result.code, result.err) == (0, "")
    for words in ("dpselect", "pivotkv", "arXiv 2412.20504", "window=3", "qwen2-vl/mlvu", "cpu"):
        assert words in result.out


def test_list_one_part_in_full(retake: Run) -> None:
    """The options of one part, explained; the kind may be in the singular."""
    result = retake("list", "selector", "dpselect")
    assert "steps within which a peak must be largest; odd." in result.out
    assert "uniform" not in result.out


OWN = '''"""Parts of one's own."""
import attrs
import retake
{imports}

@attrs.frozen
class Mine({base}):
    """A part that I wrote.

    Attributes:
        often: how often it is done.
    """

    often: {type} = 3

    {body}
'''


@pytest.mark.parametrize(
    ("kind", "base", "body"),
    [
        ("selector", "retake.FrameSelector", "def select(self, *_): ..."),
        ("selectors", "retake.selectors.get('uniform')", ""),
        ("scorer", "retake.scorers.scorers.get('colours')", ""),
        ("compressor", "retake.compressors.get('pivotkv')", ""),
        ("model", "retake.models.get('qwen2-vl')", ""),
        ("backend", "retake.backends.get('cpu')", ""),
        ("dataset", "retake.datasets.get('scenes')", ""),
    ],
)
def test_list_a_part_of_ones_own(
    retake: Run, tmp_path: Path, kind: str, base: str, body: str
) -> None:
    """A reference to code is shown like any other part, in full and as JSON, of every kind."""
    imports = "import retake.scorers, retake.models, retake.backends, retake.datasets"
    file = tmp_path / "mine.py"
    file.write_text(OWN.format(imports=imports, base=base, type="int", body=body))
    reference = f"{file}:Mine"
    shown = retake("list", kind, reference)
    assert (shown.code, shown.err) == (0, "")
    assert "A part that I wrote." in shown.out
    assert "how often it is done." in shown.out
    (part,) = retake("list", kind, reference, "--json").data[kind.removesuffix("s") + "s"]
    assert part["name"] == reference
    assert {"name": "often", "type": "int", "default": "3", "help": "how often it is done."} in (
        part["options"]
    )


@pytest.mark.parametrize(
    ("kind", "reference", "words"),
    [
        ("dataset", "mine.py", "It holds no Benchmark."),
        ("selector", "mine.py", "mine.py:Mine"),
        ("selector", "mine.py:Mnie", "'Mine'"),
        ("dataset", "mine.py:Mine", "does not derive from retake.Benchmark"),
        ("selector", "mine.py:Mine", "Mine's options is not defined: name 'Number'"),
        ("selector", "nowhere.py:Mine", "There is no file 'nowhere.py'"),
        ("preset", "mine.py:Mine", "Unknown preset"),
    ],
)
def test_list_refuses_what_is_no_part(
    retake: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    reference: str,
    words: str,
) -> None:
    """As every other command does that takes a reference to code."""
    monkeypatch.chdir(tmp_path)
    base = "retake.selectors.get('uniform')"
    Path("mine.py").write_text(OWN.format(imports="", base=base, type="'Number'", body=""))
    result = retake("list", kind, reference)
    assert (result.code, result.out) == (2, "")
    assert words in result.err


@pytest.mark.parametrize("words", [(), ("data",), ("data", "make")])
def test_a_group_alone_shows_its_help(retake: Run, words: tuple[str, ...]) -> None:
    """And that is no error."""
    result = retake(*words)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"Usage: {' '.join(('retake', *words))} ")
    assert "Commands:" in result.out


def test_list_says_what_needs_the_question(retake: Run) -> None:
    """Of every selector; what rates frames against it is a kind of its own."""
    parts = {part["name"]: part for part in retake("list", "selectors", "--json").data["selectors"]}
    asking = {name for name, part in parts.items() if "(needs the question)" in part["summary"]}
    assert asking == {"aks", "bolt", "topk-sim"}
    assert "colours" in retake("list", "scorers").out


def test_list_as_json(retake: Run) -> None:
    """What a script may rely on."""
    data = retake("list", "--json").data
    assert set(data) == {
        "selectors",
        "scorers",
        "compressors",
        "models",
        "backends",
        "datasets",
        "presets",
        "clips",
    }
    window = next(
        option
        for part in data["selectors"]
        if part["name"] == "dpselect"
        for option in part["options"]
        if option["name"] == "window"
    )
    assert (window["type"], window["default"]) == ("int", "3")


def test_broken_plugin_is_listed(executed: Run, tmp_path: Path) -> None:
    """An installed plug-in that cannot be imported is shown as broken, beside the others."""
    info = tmp_path / "sad_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sad-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[retake.selectors]\nsad = sad_plugin:Sad\nuniform = sad_plugin:Uniform\n"
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    result = executed("list", "selectors", "--json", PYTHONPATH=path)
    assert result.code == 0, result.err
    parts = {part["name"]: part for part in result.data["selectors"]}
    assert "sad_plugin" in parts["sad"]["broken"]
    assert parts["sad"]["origin"] == "sad-plugin"
    assert "'uniform' is taken" in parts["(plug-in)"]["broken"]
    assert parts["uniform"]["broken"] is None
    assert parts["dpselect"]["broken"] is None


def test_option_descriptions() -> None:
    """Names, types, defaults and help come from the class itself."""
    options = {option.name: option for option in options_of(DPSelect)}
    assert options["per_patch"].default == "true"
    assert options["pivots"].help == "mark the peaks, so that compressors keep them."
    kinds = {option.name: option.type for option in options_of(VideoOptions)}
    assert kinds["fps"] == "float or none"
    assert kinds["reader"] == "auto|decord|pyav|frames"
    assert type_name(None) == "any"


def test_attribute_help_joins_lines_and_names() -> None:
    """Continuation lines belong to the entry above; one line may explain several names."""
    doc = """What it is.

    Attributes:
        a, b: of both,
            and more.
        c: alone.

    Raises:
        d: is no attribute.
    """
    assert attribute_help(doc) == {
        "a": "of both, and more.",
        "b": "of both, and more.",
        "c": "alone.",
    }


# What the paper gives for each family: budget, frames at most, and whether YaRN reached it; and how
# many frames its full cache sees, where one stands beside it.
_PUBLISHED = {
    "llava-video": (40_000, 1024, 4.0),
    "qwen2-vl": (32_000, 2048, None),
    "qwen2.5-vl": (32_000, 2048, None),
}
_BASELINES = {"llava-video": 128, "qwen2-vl": 256}
# Frames a second of Qwen2-VL's published files; LLaVA-Video has 2 everywhere.
_RATES = {"videomme": 4, "mlvu": 4, "longvideobench": 4, "lvbench": 2}


def test_every_benchmark_has_its_presets() -> None:
    """Each family on each benchmark, and the full cache beside the published ones."""
    methods = {f"{family}/{name}" for family in _PUBLISHED for name in _RATES}
    full = {f"{family}/{name}-baseline" for family in _BASELINES for name in _RATES}
    assert set(presets.names()) == methods | full


@pytest.mark.parametrize("name", presets.names())
def test_presets_are_valid(name: str) -> None:
    """Every preset is a configuration, says where it is from, and has its family's settings."""
    config = structure(RunConfig, presets.load(name), "configuration key")
    family, benchmark = name.removesuffix("-baseline").split("/")
    settings = config.prefill.budget, config.video.max_frames, config.model.yarn_factor
    if name.endswith("-baseline"):
        assert settings == (None, _BASELINES[family], None)
        assert (config.selector.name, config.compressor.name) == ("none", "none")
    else:
        assert settings == _PUBLISHED[family]
        # Qwen2-VL's published file for VideoMME marks no keyframes; all others do.
        plain = benchmark == "videomme" and family != "llava-video"
        assert config.selector.name == ("none" if plain else "dpselect")
        assert config.compressor.name == "pivotkv"
    assert config.video.fps == (2 if family == "llava-video" else _RATES[benchmark])
    assert (config.prefill.chunk_frames, config.generate.max_new_tokens) == (32, 128)
    assert "ReTaKe" in presets.describe(name)


def test_unknown_preset_names_the_near_ones() -> None:
    """Near names first."""
    with pytest.raises(UsageError, match="'qwen2-vl/mlvu'"):
        presets.load("qwen2-vl/mlvuu")


def test_make_scenes(retake: Run, tmp_path: Path) -> None:
    """A video and its questions appear, and are not overwritten unasked."""
    words = ("data", "make", "scenes", "--minutes", "0.1", "--size", "64", "--seed", "3")
    video = tmp_path / "made.mp4"
    made = retake(*words, "-o", video, "--json")
    assert made.code == 0, made.err
    truth = [question["expected"] for question in made.data["questions"]]
    assert truth == [question.answer for question in Clip.load(tmp_path / "made.json").questions]
    assert retake(*words, "-o", video).code == 2
    before = video.read_bytes()
    assert retake(*words, "-o", video, "--force").code == 0
    assert video.read_bytes() == before


def test_bundled_clips(retake: Run) -> None:
    """As text and as JSON."""
    assert retake("data", "clips").code == 0
    assert isinstance(retake("data", "clips", "--json").data, list)


def test_doctor_reports_every_topic(retake: Run) -> None:
    """What it found is JSON too, and the exit code follows from it."""
    result = retake("doctor", "--json")
    data = result.data
    topics = {check["topic"] for check in data["checks"]}
    assert topics >= {"Packages", "Machine", "Devices", "Video", "Model"}
    assert result.code == (0 if data["healthy"] else 1)
    state = {check["name"]: check["status"] for check in data["checks"]}
    assert state["cpu"] == "ok"
    assert state["pyav"] == "ok"


def test_unexpected_failure_is_one_line(retake: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect is called one; --debug, wherever it stands, shows where it came from."""

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(presets, "load", fail)
    words = ("run", "--show-config", "--preset", "x")
    result = retake(*words)
    assert result.code == 1
    assert result.err.startswith("Internal error: ZeroDivisionError: a defect\n")
    assert "Traceback" not in result.err
    assert "Traceback" in retake(*words, "--debug").err


def test_messages_speak_of_flags() -> None:
    """Python's spelling of an option becomes the command line's."""
    assert program.in_flags("pass on_bad_frame='report' to") == "pass --on-bad-frame report to"
    assert program.in_flags("State it: folder_fps=2.0 where") == "State it: --folder-fps 2.0 where"
    assert program.in_flags("name=value stays") == "name=value stays"


def test_interrupt(retake: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends a run quietly, with the usual exit code."""

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(presets, "load", interrupt)
    result = retake("run", "--show-config", "--preset", "x")
    assert (result.code, result.out, result.err) == (130, "", "interrupted\n")


def test_broken_pipe_is_quiet() -> None:
    """`retake list | head -1`: no complaint."""
    line = f"{sys.executable} -m retake_cli list --json | head -c 10"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=240)
    assert done.stderr == ""
    assert done.stdout == '{\n  "selec'


def test_no_colour_off_a_terminal(process: Run) -> None:
    """Neither escape codes nor bars where nobody sees them."""
    result = process("list")
    assert "\x1b" not in result.out + result.err
