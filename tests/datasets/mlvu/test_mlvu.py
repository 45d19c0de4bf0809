"""MLVU as distributed: layouts, prompts, places and damage."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retake.core.config import structure
from retake.core.errors import UsageError
from retake.datasets import datasets
from retake.video.archive import unpacked
from tests.datasets.mlvu.asking import benchmark, rows_of, write
from tests.miniatures import mlvu as miniature

WATCH = "Carefully watch this video and pay attention to every detail. Based on your observations, "


def dev_rows(root: Path) -> pd.DataFrame:
    """The nine files as one table, with ids and right letters."""
    frames = []
    for file in miniature.DEV:
        frame = pd.DataFrame(rows_of(root, f"MLVU/json/{file}.json"))
        frames.append(frame.assign(file=file, id=[f"{file}/{n}" for n in range(len(frame))]))
    return pd.concat(frames, ignore_index=True).set_index("id")


def test_dev_samples_are_the_files_rows(made: Callable[..., Path]) -> None:
    """Ids by file and row, letters for texts, chance, seconds, and each file's own videos."""
    root = made()
    rows, samples = dev_rows(root), benchmark(root, tasks="all").samples()
    assert sorted(sample.id for sample in samples) == sorted(rows.index)
    assert len(rows) == 18
    for sample in samples:
        row = rows.loc[sample.id]
        assert sample.kind == row.file[2:]
        assert sample.video == root / "MLVU" / "video" / row.file / row.video
        assert sample.video.is_file()
        assert (sample.seconds, sample.groups) == (row.duration, {"seconds": row.duration})
        if row.file[0] in "89":
            assert (sample.options, sample.chance, sample.answer) == ((), 0, row.answer)
        else:
            assert list(sample.options) == row.candidates
            assert sample.options["ABCD".index(str(sample.answer))] == row.answer
            assert sample.chance == 1 / 4


def test_questions_of_one_video_follow_each_other(made: Callable[..., Path]) -> None:
    """As they must; two tasks have a video of one name, and they are two videos."""
    root = made()
    videos = [sample.video for sample in benchmark(root, tasks="all").samples()]
    first = list(dict.fromkeys(videos))
    assert videos == sorted(videos, key=first.index)
    same = [video for video in first if video.name == "movie101_66.mp4"]
    assert len(same) == 2
    assert same[0].read_bytes() != same[1].read_bytes()


@pytest.mark.parametrize(("tasks", "count"), [("choice", 14), ("generation", 4), ("all", 18)])
def test_sorts_of_tasks(made: Callable[..., Path], tasks: str, count: int) -> None:
    assert len(benchmark(made(), tasks=tasks).samples()) == count


@pytest.mark.parametrize("below", ["", "MLVU", "MLVU/json"])
def test_the_root_may_be_further_down(made: Callable[..., Path], below: str) -> None:
    """The folder of the download, or what is in it, as far as the annotations."""
    samples = benchmark(made() / below).samples()
    assert len(samples) == 14
    assert all(sample.video.is_file() for sample in samples)


@pytest.mark.parametrize("videos", ["folder", "archives"])
def test_the_table_that_lmms_eval_reads(made: Callable[..., Path], videos: str) -> None:
    """The same questions, options and letters; only ids and places differ."""
    official, hub = benchmark(made()), benchmark(made(layout="hub", videos=videos))
    ours = {(one.video.name, one.details["question"]): one for one in official.samples()}
    samples = hub.samples()
    assert len(samples) == len(ours)
    for sample in samples:
        same = ours[sample.video.name, sample.details["question"]]
        for name in ("question", "answer", "kind", "options", "groups", "chance", "seconds"):
            assert getattr(sample, name) == getattr(same, name)
        assert (".zip" in str(sample.video)) == (videos == "archives")
        with unpacked(sample.video) as path:
            assert path.read_bytes() == same.video.read_bytes()
    assert samples[0].id == "plotQA/0"


def test_the_test_split_keeps_its_answers(made: Callable[..., Path]) -> None:
    """Six options, nothing said of what is right, and nothing marked or judged."""
    made_it = benchmark(made(split="test"), split="test", tasks="all")
    samples = made_it.samples()
    assert {sample.kind for sample in samples} == {*miniature.TEST, "needle", "sub_scene"} - {
        "needleQA",
        "subsummary",
    }
    assert "NQA_0" in {sample.id for sample in samples}
    for sample in samples:
        assert sample.answer is None
        assert made_it.mark(sample, "F") is None
        assert made_it.judging(sample, "a star") is None
    six = [sample for sample in samples if len(sample.options) == 6]
    assert [sample.chance for sample in six] == [1 / 6] * 11
    assert made_it.parse(six[0], "F)") == "F"
    assert all(sample.video.is_file() for sample in samples)


def test_the_test_split_with_its_truth(made: Callable[..., Path]) -> None:
    """Told by id, and where there is none by video and words."""
    root = made(split="test", truth="yes")
    samples = benchmark(root, split="test", tasks="all").samples()
    right = pd.concat(
        pd.DataFrame(rows_of(root, f"test-ground-truth/test_{name}_gt.json"))
        for name in ("mcq", "ssc", "vs")
    ).set_index(["video", "question"])
    for sample in samples:
        row = right.loc[(sample.video.name, sample.details["question"])]
        if sample.options:
            assert sample.options["ABCDEF".index(str(sample.answer))] == row.answer
        else:
            assert sample.answer == row.answer
    assert {"A", "F"} & {sample.answer for sample in samples}
    points = [sample.details["scoring_points"] for sample in samples if sample.kind == "sub_scene"]
    assert all(len(each) == 2 for each in points)


def test_the_truth_alone_is_enough(copy: Callable[..., Path]) -> None:
    """It repeats the questions."""
    root = copy(split="test", truth="yes")
    whole = benchmark(root, split="test", tasks="all").samples()
    for file in ("test_multi_choice_tasks.json", "test_generation_tasks.json"):
        (root / file).unlink()
    (root / "MLVU_Test" / "test_question.json").unlink()
    assert benchmark(root, split="test", tasks="all").samples() == whole


def test_letters_from_the_table_of_the_test_split(made: Callable[..., Path]) -> None:
    """Which shows its answers, up to F."""
    shown = benchmark(made(split="test", layout="hub"), split="test").samples()
    known = benchmark(made(split="test", truth="yes"), split="test").samples()
    assert [one.answer for one in shown] == [one.answer for one in known]


STAR = "What colour is the moving star?"
DEV_PROMPTS = {
    "official": f"{WATCH}select the best option that accurately addresses the question.\n"
    f"Question: {STAR}\nOptions:\n(A) red\n(B) blue\n(C) cyan\n(D) yellow\n"
    "Only give the best option.\nBest Option: (",
    "retake": f"{STAR}\nOptions:\nA. red.\nB. blue.\nC. cyan.\nD. yellow.\n"
    "Answer with the option's letter from the given choices directly.",
    "lmms-eval": f"{STAR}\n(A) red\n(B) blue\n(C) cyan\n(D) yellow\n"
    "Only give the best option.\nBest option: (",
}


@pytest.mark.parametrize("layout", ["official", "hub"])
@pytest.mark.parametrize("protocol", list(DEV_PROMPTS))
def test_how_choices_are_asked(made: Callable[..., Path], layout: str, protocol: str) -> None:
    """Letter for letter, from either layout."""
    samples = benchmark(made(layout=layout), protocol=protocol).samples()
    assert samples[0].question == DEV_PROMPTS[protocol]


def test_how_six_options_are_asked(made: Callable[..., Path]) -> None:
    [sample] = [
        one for one in benchmark(made(split="test"), split="test").samples() if one.id == "AR_0"
    ]
    assert sample.question == (
        f"{WATCH}select the best option that accurately addresses the question.\n"
        "Question: Which shape flashed?\nOptions:\n(A) moon\n(B) ring\n(C) circle\n(D) star\n"
        "(E) square\n(F) triangle\nOnly give the best option.\nBest Option: ("
    )


SUMMARISE = "Please summarize the main content of this video."


@pytest.mark.parametrize(
    ("protocol", "asked"),
    [
        ("official", f"{WATCH}answer the given questions.\n{SUMMARISE}"),
        ("retake", SUMMARISE),
        ("lmms-eval", SUMMARISE),
    ],
)
def test_how_writing_is_asked(made: Callable[..., Path], protocol: str, asked: str) -> None:
    samples = benchmark(made(), tasks="generation", protocol=protocol).samples()
    assert samples[-1].question == asked


def test_an_answer_that_is_no_candidate_is_never_right(copy: Callable[..., Path]) -> None:
    """As the official script has it, which takes the last of two equal ones."""
    root, file = copy(), "MLVU/json/4_count.json"
    [row] = rows_of(root, file)
    write(root, file, [{**row, "answer": "7"}, {**row, "candidates": [1, 2, 2, 3], "answer": 2}])
    made_it = benchmark(root)
    none, last = [one for one in made_it.samples() if one.kind == "count"]
    assert [made_it.mark(none, letter) for letter in "ABCD"] == [0, 0, 0, 0]
    assert (last.options, last.answer) == (("1", "2", "2", "3"), "C")


def test_missing_videos_stop_nothing(copy: Callable[..., Path]) -> None:
    """Where they should be is said, and that of another task with the same name is not taken."""
    root = copy()
    gone = root / "MLVU" / "video" / "8_sub_scene" / "movie101_66.mp4"
    gone.unlink()
    made_it = benchmark(root, tasks="all")
    assert [one.video for one in made_it.samples() if not one.video.exists()] == [gone]
    missing = [held for held in made_it.holdings() if not held.path.exists()]
    assert [(one.name, one.path, one.what, one.needed) for one in missing] == [
        ("8_sub_scene/movie101_66.mp4", gone, "video", True)
    ]


def test_what_it_consists_of(made: Callable[..., Path]) -> None:
    """Tables and videos, each once; only what is asked for."""
    held = benchmark(made(), tasks="all").holdings()
    assert sum(one.what == "annotations" for one in held) == 9
    assert sum(one.what == "video" for one in held) == 14
    assert len({one.path for one in held}) == len(held)
    assert all(one.seconds in (8, 9, 10) for one in held if one.what == "video")
    choice = benchmark(made()).holdings()
    assert [one.name for one in choice if not one.needed] == [
        "8_sub_scene.json",
        "9_summary.json",
        "8_sub_scene/movie101_66.mp4",
        "8_sub_scene/en_tv_28.mp4",
        "9_summary/217.mp4",
        "9_summary/218.mp4",
    ]
    assert {one.path for one in choice} == {one.path for one in held}
    truth = benchmark(made(split="test", truth="yes"), split="test").holdings()
    assert [one.name for one in truth if one.what == "annotations" and one.needed] == [
        "test_multi_choice_tasks.json",
        "test_mcq_gt.json",
    ]


def test_what_nobody_asks_for_may_be_missing(copy: Callable[..., Path]) -> None:
    """Neither is it named then; what is there of it is no surplus."""
    root = copy()
    (root / "MLVU/json/9_summary.json").unlink()
    assert not [one.name for one in benchmark(root).holdings() if not one.needed]
    root = copy(layout="hub")
    assert all(one.needed for one in benchmark(root).holdings())


def test_a_folder_must_be_given() -> None:
    with pytest.raises(UsageError, match="mlvu is not shipped") as caught:
        structure(datasets.get("mlvu"), {}, "option").samples()
    assert "docs/datasets/mlvu.md" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"split": "val"}, "Unknown split .*'val'"),
        ({"tasks": "writing"}, "Unknown tasks .*'writing'"),
        ({"protocol": "retak"}, "protocol"),
        ({"protocol": "retake", "split": "test"}, "no protocol 'retake' for mlvu-test"),
        ({"extraction": "mlv"}, "Unknown extraction of mlvu 'mlv'"),
    ],
)
def test_names_that_there_are_not(
    made: Callable[..., Path], options: dict[str, str], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        benchmark(made(), **options)


def _change(file: str, **changes: Any) -> Callable[[Path], None]:
    """The first row of a file, changed; None takes a column away."""

    def damage(root: Path) -> None:
        rows = rows_of(root, file)
        for key, value in changes.items():
            rows[0].pop(key) if value is None else rows[0].update({key: value})
        write(root, file, rows)

    return damage


PLOT, CHOICES = "MLVU/json/1_plotQA.json", "test_multi_choice_tasks.json"
DAMAGE: list[tuple[Callable[[Path], None], dict[str, str], str]] = [
    (lambda root: shutil.rmtree(root), {}, "there is no such folder"),
    (lambda root: shutil.rmtree(root / "MLVU"), {}, "no annotations.*1_plotQA.json"),
    (lambda root: (root / "MLVU/json/3_ego.json").unlink(), {}, "no table .*3_ego.json"),
    (lambda root: (root / PLOT).write_text('[{"video"'), {}, "1_plotQA.json' is no JSON at line 1"),
    (lambda root: (root / PLOT).write_text("[]"), {}, "has no rows"),
    (_change(PLOT, question=None), {}, "Row 1 of .*1_plotQA.json' has no 'question'"),
    (_change(PLOT, candidates=None), {}, "has no 'candidates'"),
    (_change(PLOT, candidates="red"), {}, "'candidates' in row 1 .* must be a list"),
    (_change(PLOT, candidates=["red"]), {}, "has 1 candidates; 2 to 6"),
    (_change(PLOT, candidates=list("1234567")), {}, "has 7 candidates"),
    (_change(PLOT, video=3), {}, "'video' in row 1 .* must be text"),
    (_change(PLOT, video="../a.mp4"), {}, "'video' in row 1 .* must name a file below"),
    (_change(PLOT, answer=["red"]), {}, "'answer' in row 1 .* must be text or a whole number"),
    (_change(PLOT, answer=1.5), {}, "'answer' in row 1 .* must be text or a whole number"),
    (_change(PLOT, answer=None), {}, "Row 1 of .*1_plotQA.json' says no answer"),
    (_change("MLVU/json/9_summary.json", answer=""), {"tasks": "all"}, "9_summary.json' says no"),
]
TEST_DAMAGE: list[tuple[Callable[[Path], None], dict[str, str], str]] = [
    (_change(CHOICES, question_type="anomaly_rec"), {}, "Unknown question_type in row 1"),
    (_change(CHOICES, question_type=None), {}, "has no 'task_type'|has no 'question_type'"),
    (_change(CHOICES, question_id="SQA_0"), {}, "have the id 'SQA_0'"),
    (_change(CHOICES, candidates=["1", "2"]), {}, "does not say what is right .* 'AR_0'"),
    (
        lambda root: (root / "test_generation_tasks.json").unlink(),
        {"tasks": "all"},
        "There is no test_generation_tasks.json",
    ),
]


@pytest.mark.parametrize(("damage", "options", "says"), DAMAGE)
def test_damage_is_named(
    copy: Callable[..., Path],
    damage: Callable[[Path], None],
    options: dict[str, str],
    says: str,
) -> None:
    root = copy()
    damage(root)
    with pytest.raises(UsageError, match=says):
        benchmark(root, **options).samples()


@pytest.mark.parametrize(("damage", "options", "says"), TEST_DAMAGE)
def test_damage_of_the_test_split_is_named(
    copy: Callable[..., Path],
    damage: Callable[[Path], None],
    options: dict[str, str],
    says: str,
) -> None:
    root = copy(split="test", truth="yes")
    if options.get("tasks") == "all":
        for name in ("ssc", "vs"):
            (root / "test-ground-truth" / f"test_{name}_gt.json").unlink()
    damage(root)
    with pytest.raises(UsageError, match=says):
        benchmark(root, split="test", **options).samples()


def test_the_table_has_no_writing(made: Callable[..., Path]) -> None:
    with pytest.raises(UsageError, match="answered by writing") as caught:
        benchmark(made(layout="hub"), tasks="all").samples()
    assert "MLVU/MVLU" in str(caught.value)


def test_a_table_of_the_other_split(copy: Callable[..., Path]) -> None:
    """Nothing of it is left out without a word."""
    root = copy(split="test", layout="hub")
    (root / "mlvu_test").rename(root / "mlvu")
    with pytest.raises(UsageError, match="not of the split 'dev': it has sportsQA and tutorialQA"):
        benchmark(root).samples()


def test_twice_the_same_id(copy: Callable[..., Path]) -> None:
    root = copy(layout="hub")
    rows = pq.read_table(root / miniature.PARQUET).to_pylist()
    rows = [{**row, "question_id": "one"} for row in rows]
    pq.write_table(pa.Table.from_pylist(rows), root / miniature.PARQUET)
    with pytest.raises(UsageError, match="have the id 'one'"):
        benchmark(root).samples()
