"""What every registered benchmark must do, whatever is asked in it.

Published ones are looked at as miniatures in their published layout, each in every way that
changes what is asked, read or kept back.
"""

import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retake import Benchmark, Sample, datasets
from retake.core.benchmark import Marked
from retake.core.config import PartOptions
from retake.core.errors import RetakeError
from retake.core.plain import plain
from retake.datasets.protocols import PROTOCOLS
from retake.evaluation.figures import figures
from retake.evaluation.marking import marked, parsed, prompt_of
from retake.evaluation.running import chosen
from retake.loading import make_part

#: Where each stands as a miniature, and how it is looked at there: options of the maker, options
#: of the benchmark.
WAYS: Mapping[str, Sequence[tuple[dict[str, Any], dict[str, Any]]]] = {
    "scenes": [
        ({}, {"lengths": [8], "videos": 1, "size": 64}),
        ({}, {"lengths": [8], "videos": 1, "size": 64, "answers": "letters"}),
    ],
    "videomme": [
        ({}, {}),
        ({}, {"subtitles": "frames"}),
        ({}, {"subtitles": "all"}),
        ({"annotations": "json", "videos": "folder"}, {}),
        *(({}, {"protocol": protocol}) for protocol in PROTOCOLS["videomme"]),
    ],
    "longvideobench": [
        ({}, {}),
        ({}, {"subtitles": "interleaved"}),
        ({}, {"split": "test"}),
        *(({}, {"protocol": protocol}) for protocol in PROTOCOLS["longvideobench"]),
    ],
    "mlvu": [
        ({}, {}),
        ({}, {"tasks": "all"}),
        ({"split": "test"}, {"split": "test", "tasks": "all"}),
        *(({}, {"protocol": protocol}) for protocol in PROTOCOLS["mlvu"]),
    ],
    "lvbench": [
        ({}, {}),
        ({"annotations": "parquet"}, {}),
        *(({}, {"protocol": protocol}) for protocol in PROTOCOLS["lvbench"]),
    ],
}
CASES = [
    pytest.param(name, *way, id="-".join([name, *(f"{k}={v}" for d in way for k, v in d.items())]))
    for name, ways in WAYS.items()
    for way in ways
]
SAYINGS = ("A", "(B) the red one", "I do not know.", "", "F", "The best answer is C.")


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Makes a miniature once for each way of making it, and says where it is."""
    made: dict[str, Path] = {}

    def place(name: str, given: Mapping[str, Any]) -> Path:
        key = json.dumps([name, given], sort_keys=True)
        if key not in made:
            made[key] = tmp_path_factory.mktemp(name)
            if name != "scenes":
                maker = importlib.import_module(f"tests.miniatures.{name}")
                maker.make(made[key], **given)
        return made[key]

    return place


def built(name: str, root: Path, given: Mapping[str, Any]) -> Benchmark:
    """The benchmark as the command line makes it."""
    folder = root / "made" if name == "scenes" else root
    made, _ = make_part(datasets, PartOptions(name, {"root": str(folder), **given}))
    return made


def answered(benchmark: Benchmark, sample: Sample, said: str) -> Marked:
    """A sample with that answer, as a run would have it."""
    return Marked(
        id=sample.id,
        video=str(sample.video),
        kind=sample.kind,
        groups=sample.groups,
        options=sample.options,
        expected=sample.answer,
        said=said,
        parsed=parsed(benchmark, sample, said),
        score=marked(benchmark, sample, said),
        chance=sample.chance,
    )


def test_every_benchmark_is_looked_at() -> None:
    """A new one must be given a miniature."""
    assert set(WAYS) == set(datasets.names())


@pytest.mark.parametrize(("name", "made", "given"), CASES)
def test_samples(name: str, made: dict[str, Any], given: dict[str, Any], places: Any) -> None:
    """Sound, the same every time, videos together, and fit to be sent to another process."""
    root = places(name, made)
    benchmark = built(name, root, given)
    samples = chosen(benchmark)  # checks each, and that ids are unique
    assert samples == chosen(built(name, root, given))
    videos = [sample.video for sample in samples]
    firsts = [video for at, video in enumerate(videos) if at == 0 or videos[at - 1] != video]
    assert len(firsts) == len(set(firsts)), "a video's samples follow each other"
    for sample in samples:
        assert plain(dict(sample.details)) == json.loads(json.dumps(plain(dict(sample.details))))
        if sample.options and sample.answer is not None:
            assert 0 < sample.chance <= 1


@pytest.mark.parametrize(("name", "made", "given"), CASES)
def test_options_make_it_again(
    name: str, made: dict[str, Any], given: dict[str, Any], places: Any
) -> None:
    """As a run's record has them, so that judges and submissions can."""
    benchmark = built(name, places(name, made), given)
    recorded = json.loads(json.dumps(plain(attrs.asdict(benchmark))))
    again, _ = make_part(datasets, PartOptions(name, recorded))
    assert again == benchmark


@pytest.mark.parametrize(("name", "made", "given"), CASES)
def test_the_truth_is_right(
    name: str, made: dict[str, Any], given: dict[str, Any], places: Any
) -> None:
    """Saying what is true scores 1; where it is hidden or judged nothing has a score."""
    benchmark = built(name, places(name, made), given)
    for sample in chosen(benchmark):
        judged = benchmark.judging(sample, "Something happened.") is not None
        if sample.answer is None or judged:
            assert marked(benchmark, sample, "A") is None
            continue
        assert marked(benchmark, sample, sample.answer) == 1
        if len(sample.options) > 1:
            letters = [chr(ord("A") + at) for at in range(len(sample.options))]
            scores = [marked(benchmark, sample, letter) for letter in letters]
            if any(scores):
                assert sorted(scores) == [0.0] * (len(letters) - 1) + [1.0]


@pytest.mark.parametrize(("name", "made", "given"), CASES)
def test_figures_and_submissions(
    name: str, made: dict[str, Any], given: dict[str, Any], places: Any
) -> None:
    """Of any part of the samples, of odd answers, and of none."""
    benchmark = built(name, places(name, made), given)
    samples = chosen(benchmark)
    some = [answered(benchmark, each, SAYINGS[at % 6]) for at, each in enumerate(samples)]
    for part in (some, some[:1], some[-1:], some[::3]):
        found = figures(benchmark, part)
        assert found.trouble is None
        for figure in found.metrics:
            assert figure["low"] is None or figure["low"] <= figure["value"] <= figure["high"]
    names = [figure["name"] for figure in figures(benchmark, some).metrics]
    assert len(names) == len(set(names))
    for file, content in benchmark.submission(some).items():
        assert Path(file).name == file
        if file.endswith(".json"):
            json.loads(content)


@pytest.mark.parametrize(("name", "made", "given"), CASES)
def test_questions_by_frames(
    name: str, made: dict[str, Any], given: dict[str, Any], places: Any
) -> None:
    """The question is in what is asked, whatever frames were sampled."""
    benchmark = built(name, places(name, made), given)
    if not benchmark.asks_by_frames:
        return
    for sample in chosen(benchmark):
        for times in ((), (0.0,), (0.5, 3.0, 7.5), tuple(map(float, range(100)))):
            said = prompt_of(benchmark, sample, times)
            assert said == prompt_of(benchmark, sample, times)
            for option in sample.options:
                assert option in said


@pytest.mark.parametrize(("name", "made", "given"), CASES)
def test_holdings(name: str, made: dict[str, Any], given: dict[str, Any], places: Any) -> None:
    """Every video that is asked about is looked for where it will be read."""
    if name == "scenes":
        return
    benchmark = built(name, places(name, made), given)
    looked_for = {str(held.path) for held in benchmark.holdings() if held.what == "video"}
    assert {str(sample.video) for sample in chosen(benchmark)} <= looked_for


@pytest.mark.parametrize("name", [name for name in WAYS if name != "scenes"])
def test_what_is_not_there_is_said(name: str, tmp_path: Path) -> None:
    """No folder, an empty one, none given: an error for people that names what to do."""
    for given_root in ({}, {"root": str(tmp_path / "none")}, {"root": str(tmp_path)}):
        made, _ = make_part(datasets, PartOptions(name, dict(given_root)))
        with pytest.raises(RetakeError) as caught:
            made.samples()
        assert caught.value.exit_code in (1, 2)
        said = f"{caught.value.message} {caught.value.hint}".lower()
        assert name in said or "looked for" in said


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(said=st.text(max_size=200))
@pytest.mark.parametrize("name", list(WAYS))
def test_any_answer_can_be_marked(name: str, said: str, places: Any) -> None:
    """A model may say anything: it is read, and marked, or left out; the same every time."""
    made, options = WAYS[name][0]
    benchmark = built(name, places(name, made), options)
    sample = _first(name, benchmark)
    assert parsed(benchmark, sample, said) == parsed(benchmark, sample, said)
    assert marked(benchmark, sample, said) == marked(benchmark, sample, said)


_FIRST: dict[str, Sample] = {}


def _first(name: str, benchmark: Benchmark) -> Sample:
    """A benchmark's first sample: its tables are read once."""
    if name not in _FIRST:
        _FIRST[name] = chosen(benchmark)[0]
    return _FIRST[name]
