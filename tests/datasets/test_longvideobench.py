"""LongVideoBench as distributed: both tables, both splits, subtitles by its own rule, metrics."""

import itertools
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from retake.core.config import structure
from retake.core.errors import UsageError, VideoError
from retake.datasets import datasets
from retake.datasets.longvideobench import LongVideoBench
from retake.video.archive import unpacked
from tests.datasets.answering import marked_by, said_of
from tests.miniatures import longvideobench as miniature

LABELS = {15: "(8, 15]", 60: "(15, 60]", 600: "(180, 600]", 3600: "(900, 3600]"}
CUT, TALKED = "-mini015_Ab_0", "@mini.user-7212345678901234567_1"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The miniature as it lies on the hub; do not change it."""
    folder = tmp_path_factory.mktemp("longvideobench")
    miniature.make(folder)
    return folder


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    """One to be damaged."""
    return shutil.copytree(root, tmp_path / "copy")


def table(root: Path, split: str = "val") -> pd.DataFrame:
    """The entries as pandas reads them."""
    return pd.read_json(root / (miniature.VAL if split == "val" else miniature.TEST))


def benchmark(root: Path, **options: Any) -> LongVideoBench:
    return structure(datasets.get("longvideobench"), {"root": str(root), **options}, "option")


def asked(root: Path, question: str, times: Any = (), **options: Any) -> str:
    """A question as the model is asked it."""
    made = benchmark(root, **options)
    [sample] = [sample for sample in made.samples() if sample.id == question]
    return made.phrase(sample, times)


@pytest.mark.parametrize("split", ["val", "test"])
def test_samples_are_the_tables_entries(root: Path, split: str) -> None:
    """All columns, read with pandas; no answers where they are hidden."""
    rows, samples = table(root, split), benchmark(root, split=split).samples()
    assert [sample.id for sample in samples] == list(rows.id)
    assert len(rows) == {"val": 10, "test": 4}[split]
    for sample, row in zip(samples, rows.to_dict("records"), strict=True):
        if split == "val":
            assert sample.answer == "ABCDE"[row["correct_choice"]]
        else:
            assert sample.answer is None
            assert "correct_choice" not in row
        assert sample.options == tuple(row["candidates"])
        assert sample.chance == 1 / len(row["candidates"])
        assert sample.kind == row["question_category"]
        assert sample.groups == {
            "duration": LABELS[row["duration_group"]],
            "topic_category": row["topic_category"],
            "level": row["level"],
        }
        assert sample.seconds == row["duration"]
        assert Path(sample.video).name == row["video_path"]
        with unpacked(sample.video) as path:
            assert path.stat().st_size > 1000
    assert {len(sample.options) for sample in samples} == {"val": {2, 4, 5}, "test": {4, 5}}[split]


def test_the_fifth_option_can_be_right(root: Path) -> None:
    """E, which rules for four options do not read."""
    made = benchmark(root)
    [sample] = [sample for sample in made.samples() if sample.id == TALKED]
    assert (sample.answer, made.parse(sample, "(E)"), made.mark(sample, "E.")) == ("E", "E", 1)


@pytest.mark.parametrize(
    ("annotations", "videos", "subtitles"),
    list(itertools.product(("json", "parquet"), ("tar", "folder"), ("tar", "folder"))),
)
def test_layouts(root: Path, tmp_path: Path, annotations: str, videos: str, subtitles: str) -> None:
    """Either table, packed or not: the same but for where files are. Parquet has no level."""
    made = tmp_path / "made"
    miniature.make(made, annotations=annotations, videos=videos, subtitles=subtitles)
    for split in ("val", "test"):
        options = {"split": split, "subtitles": "interleaved"}
        first, other = benchmark(root, **options), benchmark(made, **options)
        for one, two in zip(first.samples(), other.samples(), strict=True):
            assert first.phrase(one, (0.0, 4.0)) == other.phrase(two, (0.0, 4.0))
            for name in ("id", "question", "answer", "kind", "options", "chance", "seconds"):
                assert getattr(one, name) == getattr(two, name)
            missing = {"level"} if annotations == "parquet" else set()
            assert two.groups.items() <= one.groups.items()
            assert one.groups.keys() - two.groups.keys() == missing
            assert (".tar" in str(two.video)) == (videos == "tar")


def test_a_table_of_another_name(copy: Path) -> None:
    """`annotations` names it."""
    moved = (copy / miniature.TEST).rename(copy / "mine.json")
    for named in ("mine.json", str(moved)):
        samples = benchmark(copy, annotations=named, split="test").samples()
        assert [s.id for s in samples][:1] == ["test015_AbC_0"]


QUESTION = "Which shape flashed in blue?"
OPTIONS = "A. cross\nB. star\nC. moon\nD. triangle"
DIRECTLY = "Answer with the option's letter from the given choices directly."
PROMPTS = {
    "official": f"Question: {QUESTION}\n{OPTIONS}\n{DIRECTLY}",
    "lmms-eval": f"{QUESTION}\n{OPTIONS}\n{DIRECTLY}\n",
}


@pytest.mark.parametrize("protocol", PROMPTS)
def test_prompts(root: Path, protocol: str) -> None:
    """Letter for letter as their sources have them."""
    made = benchmark(root, protocol=protocol)
    assert made.samples()[0].question == PROMPTS[protocol]
    assert asked(root, CUT, protocol=protocol) == PROMPTS[protocol]
    assert not made.asks_by_frames


# The clip begins at 417 s of what its subtitles are of; their lines are shown from 0.25 to 1.75 s
# of the clip, from 2.25 to 3.75, and so on, the first two before it.
FORM = "[frame {}, {} s] line {} is said".format


@pytest.mark.parametrize("protocol", PROMPTS)
def test_interleaved_subtitles(root: Path, protocol: str) -> None:
    """Only lines around a frame, not just at it, each with the last frame up to its middle."""
    times = (0.0, 0.5, 2.25, 4.5, 6.5, 8.0)
    said = [FORM(2, "0.5", 2), FORM(4, "4.5", 4), FORM(5, "6.5", 5)]
    text = asked(root, CUT, times, protocol=protocol, subtitles="interleaved")
    assert text == "\n".join([*said, PROMPTS[protocol]])
    assert benchmark(root, subtitles="interleaved").asks_by_frames


def official_order(
    entry: dict[str, Any], subtitles: list[dict[str, Any]], times: tuple[float, ...]
) -> list[Any]:
    """The benchmark's own interleaving, done over: times of frames, and lines, sorted.

    A line sorts by its middle, behind frames of the same time; it stays where a frame lies
    strictly within what it covers, half a second to either side of the middle at least.
    """
    rows = pd.DataFrame(subtitles)
    if "timestamp" in rows:
        rows["from"], rows["to"] = (rows.timestamp.str[n].astype(float) for n in (0, 1))
        rows["to"] = rows.to.fillna(entry["duration"])
        rows["said"] = rows.text
    else:
        rows["from"], rows["to"] = (
            pd.to_timedelta(rows[name]).dt.total_seconds() for name in ("start", "end")
        )
        rows["said"] = rows.line
    starts = entry["starting_timestamp_for_subtitles"]
    middle = (rows["from"] + rows.to) / 2 - starts
    reach = ((rows.to - rows["from"]) / 2).where(rows.to - rows["from"] >= 1, 0.5)
    kept = [
        any(abs(time - at) < most for time in times) for at, most in zip(middle, reach, strict=True)
    ]
    lines = pd.DataFrame({"at": middle, "rank": 1, "what": rows.said})[kept]
    frames = pd.DataFrame({"at": times, "rank": 0, "what": times})
    return list(pd.concat([frames, lines]).sort_values(["at", "rank"]).what)


@pytest.mark.parametrize(
    "times", [(1.0,), (0.0, 2.5, 5.0, 7.5, 10.0), tuple(n / 4 for n in range(100))], ids=len
)
def test_interleaving_recomputed(root: Path, tmp_path: Path, times: tuple[float, ...]) -> None:
    """Every question of both published forms of subtitles, against an independent sort."""
    with tarfile.open(root / "subtitles.tar") as archive:
        archive.extractall(tmp_path, filter="data")
    made = benchmark(root, subtitles="interleaved")
    for sample, entry in zip(made.samples(), table(root).to_dict("records"), strict=True):
        subtitles = json.loads((tmp_path / "subtitles" / entry["subtitle_path"]).read_text())
        expected, frame = [], 0
        for part in official_order(entry, subtitles, times):
            if isinstance(part, str):
                expected.append(f"[frame {frame}, {times[frame - 1]:.1f} s] {part.strip()}")
            else:
                frame += 1
        text = made.phrase(sample, times)
        assert text == "\n".join([*expected, sample.question])
        assert expected


def test_lines_before_the_first_frame_and_over_several_rows(copy: Path, root: Path) -> None:
    """A line may stand before all frames; its line feeds are spaces in the prompt."""
    with tarfile.open(copy / "subtitles.tar") as archive:
        archive.extractall(copy, filter="data")
    (copy / "subtitles.tar").unlink()
    lines = [{"start": "00:06:56.000", "end": "00:06:59.000", "line": "so&nbsp;it\n is"}]
    (copy / "subtitles" / "-mini015_Ab_en.json").write_text(json.dumps(lines))
    text = asked(copy, CUT, (1.0, 3.0), subtitles="interleaved")
    assert text == f"[before frame 1] so&nbsp;it is\n{PROMPTS['official']}"
    assert asked(copy, CUT, (2.0, 3.0), subtitles="interleaved") == PROMPTS["official"]


def test_subtitles_that_cannot_be_read_are_of_one_video(copy: Path) -> None:
    """A VideoError where its turn comes, missing or damaged; the others can be asked."""
    with tarfile.open(copy / "subtitles.tar") as archive:
        archive.extractall(copy, filter="data")
    (copy / "subtitles.tar").unlink()
    (copy / "subtitles" / "mini060_AbC_en.json").unlink()
    (copy / "subtitles" / "mini3600_Ab_en.json").write_text("[{}]")
    assert len(benchmark(copy).samples()) == 10
    made = benchmark(copy, subtitles="interleaved")
    for sample in made.samples():
        if sample.id.startswith(("mini060", "mini3600")):
            with pytest.raises(VideoError, match=rf"{sample.id[:-2]}_en\.json"):
                made.phrase(sample, (0.0, 1.0))
        else:
            assert made.phrase(sample, (0.0, 1.0))


def recomputed(rows: pd.DataFrame) -> dict[str, float]:
    """Accuracies by pandas, as lmms-eval aggregates them.

    Over all of the groups' and the categories' accuracies, weighted by their questions.
    """
    rows = rows.assign(right=(rows.said == rows.answer).astype(float))
    groups = ("duration_group", "question_category")
    parts = pd.concat([rows.groupby(key).right.agg(["mean", "size"]) for key in groups])
    overall = (parts["mean"] * parts["size"]).sum() / parts["size"].sum()
    lengths = rows.groupby("duration_group").right.mean()
    return {"Overall": overall, **{f"{LABELS[key]} s": lengths[key] for key in lengths.index}}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("protocol", ["official", "lmms-eval"])
def test_metrics_recomputed(root: Path, protocol: str, seed: int) -> None:
    """Where no letter is read there is a guess among the options; else as pandas has it."""
    made = benchmark(root, protocol=protocol, seed=seed)
    samples = made.samples()
    said = said_of(samples, seed)
    for some in (samples, samples[: 4 + seed]):
        marked = marked_by(made, some, said)
        rows = table(root).head(len(some))
        rows = rows.assign(
            answer=["ABCDE"[number] for number in rows.correct_choice],
            said=[said[one][1] for one in rows.id],
        )
        # Guesses cannot be known from without: the score says whether it was a lucky one.
        lucky = {one.id for one in marked if one.parsed is None and one.score == 1}
        assert {one.id for one in marked if one.parsed is None} == set(rows.id[rows.said.isna()])
        rows.loc[rows.id.isin(lucky), "said"] = rows.answer
        assert made.metrics(marked) == pytest.approx(recomputed(rows))


def test_guesses_are_fair_and_stay(root: Path) -> None:
    """As often right as by chance, over many seeds; the same for one seed."""
    samples = benchmark(root).samples()
    silent = {sample.id: ("no idea", None) for sample in samples}
    scores = []
    for seed in range(300):
        made = benchmark(root, seed=seed)
        marked = marked_by(made, samples, silent)
        assert marked == marked_by(made, samples, silent)
        scores += [one.score for one in marked]
    chance = sum(sample.chance for sample in samples) / len(samples)
    assert sum(scores) / len(scores) == pytest.approx(chance, abs=0.03)


def test_hidden_answers_have_no_figures(root: Path) -> None:
    """Neither marks nor metrics, whatever is said."""
    made = benchmark(root, split="test")
    marked = marked_by(made, made.samples(), said_of(made.samples()))
    assert {one.score for one in marked} == {None}
    assert made.metrics(marked) == {}


def test_submission(root: Path) -> None:
    """Of the test split: what was said, by id, as lmms-eval writes it; of the other none."""
    made = benchmark(root, split="test")
    said = said_of(made.samples(), 2)
    [(name, content)] = made.submission(marked_by(made, made.samples(), said)).items()
    assert name == "longvideobench_test_for_submission.json"
    assert json.loads(content) == {id: text for id, (text, _) in said.items()}
    assert list(json.loads(content)) == list(table(root, "test").id)
    assert benchmark(root).submission(marked_by(made, made.samples(), said)) == {}


def test_holdings(root: Path, copy: Path) -> None:
    """The split's files are needed; the other split's lie in the same archives, and are not."""
    held = benchmark(root, split="test").holdings()
    needed = {one.name for one in held if one.needed}
    assert needed == {miniature.TEST, "test015_AbC.mp4", "test600_AbD.mp4"}
    assert len([one for one in held if one.what == "annotations"]) == 4
    assert len([one for one in held if one.what == "video"]) == 6
    assert len([one for one in held if one.what == "subtitles"]) == 6
    lengths = {one.name: one.seconds for one in held}
    assert (lengths["test600_AbD.mp4"], lengths["mini060_AbC.mp4"]) == (24, 16)
    held = benchmark(root, split="test", subtitles="interleaved").holdings()
    assert {one.name for one in held if one.needed} == needed | {
        "test015_AbC_en.json",
        "test600_AbD_en.json",
    }
    for path in copy.glob("test*"):
        path.unlink()
    (copy / miniature.TEST).unlink()
    for path in copy.glob("*.tar*"):
        path.unlink()
    held = benchmark(copy).holdings()
    assert {one.path.parent.name for one in held if one.what == "video"} == {"videos"}
    assert [one.what for one in held].count("video") == 4


def test_videos_need_not_be_there(copy: Path) -> None:
    """Samples are listed all the same, at the place that is looked at first."""
    for path in copy.glob("videos.tar*"):
        path.unlink()
    assert benchmark(copy).samples()[0].video == copy / "videos" / "-mini015_Ab.mp4"


def _changed(column: str, value: Any) -> Any:
    return lambda rows: rows[3].update({column: value})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: [row.pop("candidates") for row in rows], "has no 'option0'"),
        (lambda rows: [row.pop("duration_group") for row in rows], "has no 'duration_group'"),
        (_changed("question", 3), "'question' in row 4"),
        (_changed("candidates", ["one"]), "2 to 6 options in row 4"),
        (_changed("candidates", list("abcdef")), "at most 5 options in row 4"),
        (_changed("correct_choice", 5), r"row 4 of .* \(mini060_AbC_1\) must be .* from 0 to 4"),
        (_changed("correct_choice", "B"), "correct_choice in row 4"),
        (_changed("correct_choice", -1), r"row 4 of .* \(mini060_AbC_1\) is hidden"),
        (_changed("correct_choice", None), "correct_choice in row 4 .* is hidden"),
        (_changed("duration", "long"), "'duration' in row 4 .* must be a number"),
        (_changed("duration", 0), "'duration' in row 4 .* above 0, and is 0"),
        (_changed("duration", float("nan")), "'duration' in row 4 .* above 0, and is nan"),
        (_changed("starting_timestamp_for_subtitles", float("inf")), "for_subtitles' in row 4"),
        (_changed("video_path", "/a.mp4"), "'video_path' in row 4 .* must name a file below"),
        (_changed("subtitle_path", "../a.json"), "'subtitle_path' in row 4 .* must name a file"),
        (_changed("id", CUT), f"Two questions in .* have the id '{CUT}'"),
    ],
)
def test_bad_tables(copy: Path, change: Any, words: str) -> None:
    """Named by file, row and column, before anything is watched."""
    rows = json.loads((copy / miniature.VAL).read_text())
    change(rows)
    (copy / miniature.VAL).write_text(json.dumps(rows))
    with pytest.raises(UsageError, match=words):
        benchmark(copy).samples()


def test_a_root_that_is_none(copy: Path) -> None:
    """What is missing, and what there is instead."""
    with pytest.raises(UsageError, match=r"docs/datasets/longvideobench\.md"):
        LongVideoBench().samples()
    with pytest.raises(UsageError, match="nowhere'"):
        benchmark(copy / "nowhere").holdings()
    for name in (miniature.VAL, miniature.VAL_PARQUET):
        (copy / name).unlink()
    with pytest.raises(UsageError, match=r"looked for lvb_val\.json") as caught:
        benchmark(copy).samples()
    assert miniature.TEST in str(caught.value)
    assert len(benchmark(copy, split="test").samples()) == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"split": "dev"}, "Allowed: test, val"),
        ({"subtitles": "all"}, "Allowed: interleaved, none"),
        ({"protocol": "retake"}, "no protocol 'retake' for longvideobench"),
        ({"splits": "val"}, "'split'"),
    ],
)
def test_wrong_options_are_refused(root: Path, options: dict[str, Any], words: str) -> None:
    """The message names what is allowed, before anything is read."""
    with pytest.raises(UsageError) as caught:
        benchmark(root, **options)
    assert words in str(caught.value)
