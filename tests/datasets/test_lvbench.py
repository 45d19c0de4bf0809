"""LVBench as distributed: layouts, prompts, metrics recomputed, submission, damage."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retake.core.benchmark import Count, Marked, Sample
from retake.core.config import structure
from retake.core.errors import UsageError
from retake.datasets import datasets
from retake.datasets.lvbench import LVBench
from retake.video.archive import unpacked
from tests.datasets.answering import marked_by
from tests.miniatures import lvbench as miniature

#: What a model may say, "{}" being the letter, and whether the official rule reads it.
SAID = (("{}", True), ("({}) red", True), ("{}. red", True), ("I think so.", False), ("", False))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A miniature by its options, made once; do not change it."""
    folders: dict[tuple[tuple[str, str], ...], Path] = {}

    def make(**options: str) -> Path:
        key = tuple(sorted(options.items()))
        if key not in folders:
            folders[key] = tmp_path_factory.mktemp("lvbench")
            miniature.make(folders[key], **options)
        return folders[key]

    return make


@pytest.fixture
def copy(made: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """One to be damaged."""
    return lambda **options: shutil.copytree(made(**options), tmp_path / "copy")


def benchmark(root: Path, **options: Any) -> LVBench:
    return structure(datasets.get("lvbench"), {"root": str(root), **options}, "option")


def table(root: Path) -> pd.DataFrame:
    """A row a question, as pandas reads the published file."""
    videos = pd.read_json(root / miniature.ANNOTATIONS, lines=True, dtype=False)
    rows = videos.explode("qa", ignore_index=True)
    return rows.drop(columns="qa").join(pd.json_normalize(list(rows.qa))).set_index("uid")


def test_samples_are_the_tables_rows(made: Callable[..., Path]) -> None:
    """All columns; a question's options are read from its lines."""
    root = made()
    rows, samples = table(root), benchmark(root).samples()
    assert [sample.id for sample in samples] == list(rows.index)
    assert len(rows) == 19
    for sample in samples:
        row = rows.loc[sample.id]
        assert sample.answer == row.answer
        lines = [f"({a}) {text}" for a, text in zip("ABCD", sample.options, strict=True)]
        assert row.question.split("\n")[1:] == lines
        assert sample.groups == {
            "capability": tuple(row.question_type),
            "video_type": row.type,
            "seconds": pytest.approx(60 * row.video_info["duration_minutes"]),
        }
        assert sample.seconds == sample.groups["seconds"]
        assert sample.chance == 1 / 4
        assert sample.video == root / "videos" / f"{row.key}.mp4"
        assert sample.video.is_file()
    assert {sample.kind for sample in samples} == {"KIR+ER", "KIR", "EU+Rea+TG", "ER", "Sum"}


@pytest.mark.parametrize("videos", ["folder", "parts", "chunks", "numbered"])
@pytest.mark.parametrize("annotations", ["jsonl", "parquet"])
def test_layouts(made: Callable[..., Path], annotations: str, videos: str) -> None:
    """The same questions and videos, packed or not; only parquet says nothing of lengths."""
    first = benchmark(made()).samples()
    other = benchmark(made(annotations=annotations, videos=videos)).samples()
    for one, two in zip(first, other, strict=True):
        for name in ("id", "question", "answer", "kind", "options", "chance"):
            assert getattr(one, name) == getattr(two, name)
        assert two.seconds == (one.seconds if annotations == "jsonl" else None)
        if videos == "numbered" and one.video.stem == miniature.VIDEOS[-1].key:
            assert not two.video.exists()  # it could not be fetched
            continue
        with unpacked(two.video) as path:
            assert path.read_bytes() == one.video.read_bytes()


QUESTION = "What colour is the flashed shape?"
LINES = "(A) orange\n(B) cyan\n(C) yellow\n(D) purple"
PROMPTS = {
    "official": f"{QUESTION}\n{LINES}\nPlease select the best answer from the options above and "
    "directly provide the letter representing your choice without giving any explanation.",
    "retake": f"{QUESTION}\nOptions:\nA. orange\nB. cyan\nC. yellow\nD. purple.\n"
    "Answer with the option's letter from the given choices directly.",
    "lmms-eval": f"{QUESTION}\n{LINES}\nAnswer the question with the option letter",
}


@pytest.mark.parametrize("protocol", list(PROMPTS))
def test_how_it_is_asked(made: Callable[..., Path], protocol: str) -> None:
    """Letter for letter."""
    samples = benchmark(made(), protocol=protocol).samples()
    assert samples[0].question == PROMPTS[protocol]


def test_options_in_a_column_of_their_own(copy: Callable[..., Path]) -> None:
    """As lmms-eval allows: asked in the same words."""
    root = copy(annotations="parquet", videos="none")
    rows = pq.read_table(root / miniature.PARQUET).to_pylist()
    for row in rows:
        row["question"], *lines = row["question"].split("\n")
        row["options"] = [line[4:] for line in lines]
    pq.write_table(pa.Table.from_pylist(rows), root / miniature.PARQUET)
    for protocol, asked in PROMPTS.items():
        first = benchmark(root, protocol=protocol).samples()[0]
        assert (first.question, first.options) == (asked, ("orange", "cyan", "yellow", "purple"))


@pytest.mark.parametrize(
    "text",
    [
        "Which?\n(A) one\n(B) two\n(C) three\n(D) four",
        "Which?\n (A)one\n (B)two \n (C)  three\n (D) four\n",
        "Is it (A) or (B)?\n(A) one\n(B) two\n(C) three\n(D) four",
        "Which line is wrong?\n(A) is the first\n(A) one\n(B) two\n(C) three\n(D) four",
    ],
)
def test_options_are_found_in_the_question(copy: Callable[..., Path], text: str) -> None:
    root = copy(videos="none")
    change(root, question=text)
    assert benchmark(root).samples()[0].options == ("one", "two", "three", "four")


@pytest.mark.parametrize("text", ["Which? (A) one (B) two (C) three (D) four", "Which?\n(B) x"])
def test_options_that_are_not_in_lines_are_letters(copy: Callable[..., Path], text: str) -> None:
    """Four, as everywhere in LVBench; the question is asked as it is."""
    root = copy(videos="none")
    change(root, question=text)
    sample = benchmark(root).samples()[0]
    assert sample.options == ("A", "B", "C", "D")
    assert sample.question.startswith(text)


def test_an_answer_that_stands_in_no_line(copy: Callable[..., Path]) -> None:
    """Some of the options are in lines and some behind them: there are four all the same."""
    root = copy(videos="none")
    change(root, question="Which?\n(A) a\n(B) b\n(C) c (D) d", answer="D")
    sample = benchmark(root).samples()[0]
    assert (sample.options, sample.answer, sample.chance) == (tuple("ABCD"), "D", 1 / 4)


@pytest.mark.parametrize(
    ("minutes", "seconds"),
    [("1.5", 90), (1.5, 90), (0, None), (-1, None), ("long", None), (float("nan"), None)]
    + [(value, None) for value in (float("inf"), 1e308, True, None, [1])],
)
def test_lengths(copy: Callable[..., Path], minutes: Any, seconds: float | None) -> None:
    """What is no length is as good as none."""
    root = copy(videos="none")
    change(root, video_info={"duration_minutes": minutes})
    sample = benchmark(root).samples()[0]
    assert sample.seconds == sample.groups.get("seconds") == seconds


def test_a_capability_that_is_named_twice_counts_twice(copy: Callable[..., Path]) -> None:
    """As in `compute_accuracy`, which goes through the list."""
    root = copy(videos="none")
    change(root, question_type=["reasoning", "reasoning"])
    made_it = benchmark(root)
    first, *others = samples = made_it.samples()
    wrong = {one.id: "B" if one.answer == "A" else "A" for one in others}
    letters = {first.id: str(first.answer), **wrong}
    marked = marked_by(made_it, samples, {uid: (each, each) for uid, each in letters.items()})
    figures = made_it.metrics(marked)
    assert figures == pytest.approx(compute_accuracy(letters, table(root)))
    assert figures["Rea"] == 2 / (2 + sum("Rea" in one.kind for one in others))


def test_how_much_there_is(made: Callable[..., Path]) -> None:
    videos = len(miniature.VIDEOS)
    counts = {"questions": Count(19, 1549), "videos": Count(videos, 103)}
    assert benchmark(made()).counts() == counts


def change(root: Path, **changes: Any) -> None:
    """The first question of the first video, changed; None takes a column away."""
    path = root / miniature.ANNOTATIONS
    first, *rest = path.read_text(encoding="utf-8").split("\n")
    video = json.loads(first)
    for key, value in changes.items():
        place = video["qa"][0] if key in {*video["qa"][0], "options"} else video
        place.pop(key) if value is None else place.update({key: value})
    path.write_text("\n".join([json.dumps(video), *rest]), encoding="utf-8")


def answered(made_it: LVBench, samples: Sequence[Sample], seed: int = 0) -> list[Marked]:
    """Answers as models give them."""
    random = np.random.default_rng(seed)
    said = {}
    for sample in samples:
        form, is_read = SAID[random.integers(len(SAID))]
        letter = str(random.choice(list("ABCD")))
        said[sample.id] = (form.format(letter), letter if is_read else None)
    return marked_by(made_it, samples, said)


def compute_accuracy(answers: dict[str, str], rows: pd.DataFrame) -> dict[str, float]:
    """The official figures by pandas: over the answered, a question in each of its categories."""
    given = rows.loc[list(answers)].assign(said=list(answers.values()))
    given["right"] = (given.said == given.answer).astype(float)
    by_category = given.explode("question_type").groupby("question_type").right.mean()
    return {
        **{miniature.SHORT[name]: by for name, by in by_category.items()},
        "Overall": given.right.mean(),
    }


@pytest.mark.parametrize("seed", range(5))
def test_metrics_are_those_of_pandas(made: Callable[..., Path], seed: int) -> None:
    """And of the submission, from its own answers."""
    made_it, rows = benchmark(made()), table(made())
    marked = answered(made_it, made_it.samples(), seed)
    frame = pd.DataFrame([attrs.asdict(one) for one in marked]).set_index("id")
    letters = frame.said.str.extract(r"^\(?([A-D])(?:$|\)|\.)", expand=False).fillna("")
    expected = compute_accuracy(letters.to_dict(), rows)
    assert made_it.metrics(marked) == pytest.approx(expected)
    assert next(iter(made_it.metrics(marked))) == "Overall"
    files = made_it.submission(marked)
    assert json.loads(files["answers.json"]) == letters.to_dict()
    assert json.loads(files["result.json"]) == pytest.approx(expected)


def test_metrics_of_what_is_there(made: Callable[..., Path]) -> None:
    made_it = benchmark(made())
    marked = answered(made_it, made_it.samples())
    some = [one for one in marked if one.kind == "EU+Rea+TG"]
    assert list(made_it.metrics(some)) == ["Overall", "EU", "Rea", "TG"]
    assert len(set(made_it.metrics(some[:1]).values())) == 1
    assert made_it.metrics([]) == {}


@pytest.mark.parametrize("unparsed", ["left-out", "guess"])
def test_a_submission_agrees_with_how_it_was_marked(
    made: Callable[..., Path], unparsed: str
) -> None:
    """The official script makes of its answers what metrics say."""
    made_it = benchmark(made(), unparsed=unparsed)
    marked = answered(made_it, made_it.samples(), 1)
    assert any(one.parsed is None for one in marked)
    answers = json.loads(made_it.submission(marked)["answers.json"])
    assert len(answers) == (
        19 if unparsed == "guess" else sum(one.parsed is not None for one in marked)
    )
    assert compute_accuracy(answers, table(made())) == pytest.approx(dict(made_it.metrics(marked)))


def test_missing_videos_stop_nothing(made: Callable[..., Path]) -> None:
    made_it = benchmark(made(videos="none"))
    root = made(videos="none")
    keys = [video.key for video in miniature.VIDEOS]
    assert list(dict.fromkeys(one.video for one in made_it.samples())) == [
        root / "videos" / f"{key}.mp4" for key in keys
    ]
    table_, *videos = made_it.holdings()
    assert (table_.path, table_.what) == (root / miniature.ANNOTATIONS, "annotations")
    assert [(one.name, one.what, one.needed) for one in videos] == [
        (f"{key}.mp4", "video", True) for key in keys
    ]
    assert [one.seconds for one in videos] == [video.seconds for video in miniature.VIDEOS]


def test_notes_beside_numbered_videos_may_be_anything(copy: Callable[..., Path]) -> None:
    """What cannot be read is not there."""
    root = copy(videos="numbered")
    notes = sorted((root / "videos" / "00000").glob("*.json"))
    for note, text in zip(notes, ["{", "[]", '{"url": 3}'], strict=False):
        note.write_text(text, encoding="utf-8")
    assert not any(sample.video.exists() for sample in benchmark(root).samples())


def test_a_folder_must_be_given() -> None:
    with pytest.raises(UsageError, match="lvbench is not shipped") as caught:
        structure(datasets.get("lvbench"), {}, "option").samples()
    assert "docs/datasets/lvbench.md" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"key": None}, "Row 1 of .* has no 'key'"),
        ({"type": 3}, "'type' in row 1 .* must be text"),
        ({"qa": {}}, "'qa' in row 1 .* must be a list"),
        ({"qa": ["x"]}, "'qa' in row 1 .* must be a list of objects"),
        ({"uid": None}, "has no 'uid'"),
        ({"uid": "1"}, "have the id '1'"),
        ({"question": None}, "has no 'question'"),
        ({"answer": "E"}, "must be one of ABCD: 'E'"),
        ({"answer": ""}, "must be one of ABCD: ''"),
        ({"question_type": []}, "'question_type' in row 1 .* must be a list"),
        ({"question_type": ["reasonin"]}, "Unknown question_type in row 1 .* 'reasonin'"),
        ({"question_type": "[x"}, "'question_type' in row 1 .* must be a list"),
        ({"question_type": "[" * 100_000}, "'question_type' in row 1 .* must be a list"),
        ({"key": "../a"}, "'key' in row 1 .* must name a file below"),
        ({"key": "/a"}, "'key' in row 1 .* must name a file below"),
        ({"video_path": ".."}, "'video_path' in row 1 .* must name a file below"),
        ({"options": 3}, "options in row 1 .* must be a list of texts"),
        ({"options": ["a", "b"], "answer": "C"}, "must be one of AB: 'C'"),
    ],
)
def test_damage_is_named(copy: Callable[..., Path], changes: dict[str, Any], says: str) -> None:
    root = copy(videos="none")
    change(root, **changes)
    with pytest.raises(UsageError, match=says):
        benchmark(root).samples()


def test_a_name_for_a_list(copy: Callable[..., Path]) -> None:
    """Tables that went through a spreadsheet have lists as text."""
    root = copy(videos="none")
    change(root, question_type="['reasoning', 'temporal grounding']")
    assert benchmark(root).samples()[0].kind == "Rea+TG"
    change(root, question_type="reasoning")
    assert benchmark(root).samples()[0].groups["capability"] == ("reasoning",)


def test_no_annotations(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no annotations.*video_info\.meta\.jsonl"):
        benchmark(tmp_path).samples()
