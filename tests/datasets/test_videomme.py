"""Video-MME as distributed: layouts, prompts, subtitles, metrics recomputed, submission."""

import itertools
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retake.core.config import structure
from retake.core.errors import VideoError
from retake.datasets import datasets
from retake.datasets.protocols import PROTOCOLS
from retake.datasets.videomme import VideoMME
from retake.video.archive import unpacked
from tests.datasets.answering import marked_by, said_of
from tests.miniatures import videomme as miniature

FIRST, SPOKEN, SILENT = "001-1", "301-2", "002-1"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The miniature as it lies on the hub; do not change it."""
    folder = tmp_path_factory.mktemp("videomme")
    miniature.make(folder)
    return folder


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    """One to be damaged."""
    return shutil.copytree(root, tmp_path / "copy")


def table(root: Path) -> pd.DataFrame:
    """The rows as pandas reads them."""
    return pd.read_parquet(root / miniature.PARQUET)


def write(root: Path, rows: Any) -> None:
    """Other rows in place of the table's."""
    pq.write_table(pa.Table.from_pylist(rows), root / miniature.PARQUET)


def benchmark(root: Path, **options: Any) -> VideoMME:
    return structure(datasets.get("videomme"), {"root": str(root), **options}, "option")


def asked(root: Path, question: str, times: Any = (), **options: Any) -> str:
    """A question as the model is asked it."""
    made = benchmark(root, **options)
    [sample] = [sample for sample in made.samples() if sample.id == question]
    return made.phrase(sample, times)


def test_samples_are_the_tables_rows(root: Path) -> None:
    """All columns, read with pandas; chance, and nothing said of what is not known."""
    rows, samples = table(root), benchmark(root).samples()
    assert [sample.id for sample in samples] == list(rows.question_id)
    assert len(rows) == 18
    for sample, row in zip(samples, rows.itertuples(), strict=True):
        assert sample.answer == row.answer
        assert sample.kind == row.task_type
        assert sample.groups == {
            "duration": row.duration,
            "domain": row.domain,
            "sub_category": row.sub_category,
        }
        lettered = [f"{a}. {text}" for a, text in zip("ABCD", sample.options, strict=True)]
        assert lettered == list(row.options)
        assert (sample.chance, sample.seconds) == (0.25, None)
        assert Path(sample.video).name == f"{row.videoID}.mp4"
        with unpacked(sample.video) as path:
            assert path.stat().st_size > 1000


@pytest.mark.parametrize(
    ("annotations", "videos", "subtitles"),
    list(itertools.product(("parquet", "json"), ("zip", "folder"), ("zip", "folder"))),
)
def test_layouts(root: Path, tmp_path: Path, annotations: str, videos: str, subtitles: str) -> None:
    """Packed or not, parquet or the authors' JSON: the same but for where files are."""
    made = tmp_path / "made"
    miniature.make(made, annotations=annotations, videos=videos, subtitles=subtitles)
    for options in ({}, {"subtitles": "all"}):
        first, other = benchmark(root, **options), benchmark(made, **options)
        for one, two in zip(first.samples(), other.samples(), strict=True):
            assert first.phrase(one, ()) == other.phrase(two, ())
            assert _placeless(one) == _placeless(two)
            is_packed = ".zip" in str(two.video)
            assert is_packed == (videos == "zip")
            assert is_packed or Path(two.video).is_file()


def _placeless(sample: Any) -> Any:
    return [
        getattr(sample, name)
        for name in ("id", "question", "answer", "kind", "options", "groups", "chance")
    ]


def test_a_table_of_another_name(root: Path, copy: Path) -> None:
    """`annotations` names it, below the root or anywhere."""
    moved = (copy / miniature.PARQUET).rename(copy / "mine.parquet")
    for named in ("mine.parquet", str(moved)):
        made = benchmark(copy, annotations=named)
        assert [s.id for s in made.samples()] == list(table(root).question_id)


def test_videos_called_by_the_benchmarks_own_id(root: Path, copy: Path) -> None:
    """The template has no videoID: the url's, or the video_id, is then the file's name."""
    rows = table(root).drop(columns="videoID")
    write(copy, rows.to_dict("records"))
    assert Path(benchmark(copy).samples()[0].video).name == "-mini001_Ab.mp4"
    write(copy, rows.drop(columns="url").to_dict("records"))
    shutil.copyfile(copy / "subtitle.zip", copy / "001.mp4")
    assert benchmark(copy).samples()[0].video == copy / "001.mp4"


def test_questions_of_one_video_follow_each_other(root: Path, copy: Path) -> None:
    """Whatever the order of the rows."""
    write(copy, table(root).sample(frac=1, random_state=1).to_dict("records"))
    videos = [sample.video for sample in benchmark(copy).samples()]
    assert len([video for video, _ in itertools.groupby(videos)]) == len(set(videos)) == 6


QUESTION = "What colour is the flashed shape?"
OPTIONS = "A. Orange.\nB. Cyan.\nC. Yellow.\nD. Purple."
PROMPTS = {
    "official": (
        "Select the best answer to the following multiple-choice question based on the video. "
        "Respond with only the letter (A, B, C, or D) of the correct option.\n"
        f"{QUESTION}\n{OPTIONS}\nThe best answer is:"
    ),
    "retake": (
        f"{QUESTION}\nOptions:\n{OPTIONS}\n"
        "Answer with the option's letter from the given choices directly."
    ),
    "lmms-eval": (
        "Select the best answer to the following multiple-choice question based on the video and "
        "the subtitles. Respond with only the letter (A, B, C, or D) of the correct option.\n"
        f"{QUESTION}\n{OPTIONS}\n\n"
        "Answer with the option's letter from the given choices directly."
    ),
}


@pytest.mark.parametrize("protocol", PROMPTS)
def test_prompts(root: Path, protocol: str) -> None:
    """Letter for letter as their sources have them; and a prompt apart from its protocol."""
    assert asked(root, FIRST, protocol=protocol) == PROMPTS[protocol]
    made = benchmark(root, protocol=protocol)
    assert made.samples()[0].question == PROMPTS[protocol]
    assert not made.asks_by_frames
    assert asked(root, FIRST, protocol=protocol, prompt="videomme") == PROMPTS["official"]


# Lines are shown from 0.25 to 3.25 seconds, from 2.25 to 5.25, from 4.25 to 7.25, and so on.
TIMES = (0.25, 1.0, 2.0, 5.0, 6.0)
LINE = "line {} is said".format
SAID = {
    # At its very start a line is not shown yet; one shown at two frames is taken twice.
    "official": [LINE(1), LINE(1), LINE(2), LINE(3)],
    # Each once; at its very start a line counts; of overlapping ones all do.
    "lmms-eval": [LINE(1), LINE(2), LINE(3)],
    "retake": [LINE(1), LINE(1), LINE(2), LINE(3)],
}
HEADERS = {"official": "{}\n", "retake": "{}\n", "lmms-eval": "{} \n"}
HEADER = "This video's subtitles are listed below:"


@pytest.mark.parametrize("protocol", SAID)
def test_subtitles_of_the_frames(root: Path, protocol: str) -> None:
    """Each protocol's choice of lines, in front of its prompt."""
    question = "\n".join(SAID[protocol])
    header = HEADERS[protocol].format(HEADER)
    text = asked(root, FIRST, TIMES, protocol=protocol, subtitles="frames")
    end = PROMPTS[protocol]
    if protocol == "lmms-eval":
        end = end.replace(
            "\n\nAnswer with the option's letter from the given choices directly.",
            "\nThe best answer is:",
        )
    assert text == f"{header}{question}\n{end}"
    assert benchmark(root, subtitles="frames").asks_by_frames


def test_all_subtitles(root: Path) -> None:
    """Whatever the frames are; without font tags."""
    text = asked(root, FIRST, (), subtitles="all")
    said = "\n".join(LINE(number) for number in range(1, 5))
    assert text == f"{HEADER}\n{said}\n{PROMPTS['official']}"
    assert text == asked(root, FIRST, TIMES, subtitles="all")


@pytest.mark.parametrize("subtitles", ["frames", "all"])
def test_without_subtitles(root: Path, subtitles: str) -> None:
    """A video that has none is asked as ever; lmms-eval says so in their place."""
    options = {"subtitles": subtitles, "times": TIMES}
    assert asked(root, SILENT, **options) == asked(root, SILENT)
    text = asked(root, SILENT, **options, protocol="lmms-eval")
    assert text.startswith(f"{HEADER} \nNo subtitles available\nSelect the best answer")


def test_frames_between_lines(root: Path) -> None:
    """Where no frame falls into a line: nothing is said of subtitles, or (lmms-eval) no line."""
    assert asked(root, FIRST, (0.0, 0.1), subtitles="frames") == PROMPTS["official"]
    text = asked(root, FIRST, (0.0, 0.1), subtitles="frames", protocol="lmms-eval")
    assert text.startswith(f"{HEADER} \n\nSelect the best answer")


@pytest.mark.parametrize("subtitles", ["frames", "all"])
def test_lmms_eval_reads_one_font(copy: Path, subtitles: str) -> None:
    """Lines without YouTube's tags are said by the others alone."""
    spoken = miniature.srt(8).replace('<font color="white" size=".72c">line 2', "line 2")
    with zipfile.ZipFile(copy / "subtitle.zip") as archive:
        archive.extractall(copy)
    (copy / "subtitle.zip").unlink()
    (copy / "subtitle" / "-mini001_Ab.srt").write_text(spoken)
    for protocol, numbers in (("official", (1, 2, 3, 4)), ("lmms-eval", (1, 3, 4))):
        text = asked(copy, FIRST, (1, 3.5, 6, 7.5), protocol=protocol, subtitles=subtitles)
        shown = "\n".join(LINE(number) for number in numbers)
        assert f"{shown}\nSelect" in text


def test_damaged_subtitles_are_of_one_video(copy: Path) -> None:
    """A VideoError where its turn comes; the others can be asked."""
    with zipfile.ZipFile(copy / "subtitle.zip") as archive:
        archive.extractall(copy)
    (copy / "subtitle.zip").unlink()
    path = copy / "subtitle" / "-mini301_Ab.srt"
    path.write_text("1\n00:00:01 -- 00:00:02\nno\n")
    made = benchmark(copy, subtitles="all")
    for sample in made.samples():
        if sample.id.startswith("301"):
            with pytest.raises(VideoError, match=r"-mini301_Ab\.srt"):
                made.phrase(sample, TIMES)
        else:
            assert made.phrase(sample, TIMES)


def recomputed(rows: pd.DataFrame, protocol: str) -> dict[str, float]:
    """Accuracies by pandas, from the table and the letters that were said."""
    rows = rows.assign(right=(rows.said == rows.answer).astype(float))
    if protocol.startswith("official"):
        rows = rows[rows.said.notna()]
    parts = rows.groupby("duration").right.mean()
    overall = parts.mean() if protocol == "retake" else rows.right.mean()
    found = {name.capitalize(): parts[name] for name in parts.index}
    return {"Overall": overall, **found}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("protocol", PROTOCOLS["videomme"])
def test_metrics_recomputed(root: Path, protocol: str, seed: int) -> None:
    """Whole or in part, with letters and without: as pandas has it from the table."""
    made = benchmark(root, protocol=protocol)
    samples = made.samples()
    said = said_of(samples, seed)
    for some in (samples, samples[: 7 + seed]):
        rows = table(root).head(len(some))
        rows = rows.assign(said=[said[one][1] for one in rows.question_id])
        found = made.metrics(marked_by(made, some, said))
        assert found == pytest.approx(recomputed(rows, protocol))
        assert next(iter(found)) == "Overall"


def test_averages_differ_where_durations_are_of_unlike_size(root: Path) -> None:
    """What is the same in the whole benchmark is not in a part of it."""
    samples = benchmark(root).samples()[:9]  # six short ones, three medium
    said = {s.id: (s.answer, s.answer) if "00" in s.id else ("", None) for s in samples}
    found = {}
    for protocol in ("official", "retake", "lmms-eval"):
        made = benchmark(root, protocol=protocol)
        found[protocol] = made.metrics(marked_by(made, samples, said))
    assert found["official"] == {"Overall": 1, "Short": 1}
    assert found["retake"] == {"Overall": 0.5, "Short": 1, "Medium": 0}
    assert found["lmms-eval"] == pytest.approx({"Overall": 2 / 3, "Short": 1, "Medium": 0})


def test_nothing_to_say(root: Path) -> None:
    """No answers, no figures; nor of answers that are left out."""
    made = benchmark(root)
    assert made.metrics([]) == {}
    silent = {sample.id: ("", None) for sample in made.samples()}
    assert made.metrics(marked_by(made, made.samples(), silent)) == {}


def official_script(videos: list[dict[str, Any]]) -> float:
    """What eval_your_results.py makes of a submission: a letter from A to D, or not answered."""
    rows = pd.json_normalize(videos, "questions", ["video_id", "duration"])
    letters = rows.response.str.replace("The best answer is", "").str.extract("([ABCD])")[0]
    answered = letters.notna()
    return float((letters == rows.answer)[answered].sum() / answered.sum())


def test_submission(root: Path) -> None:
    """The authors' template: keys in its order, options with letters, what was said as it is."""
    made = benchmark(root)
    said = said_of(made.samples(), 3)
    del said["602-3"]
    marked = marked_by(made, made.samples(), said)
    [(name, content)] = made.submission(marked).items()
    videos = json.loads(content)
    assert name == "output_test_template.json"
    keys = ["video_id", "duration", "domain", "sub_category", "questions"]
    assert [list(video) for video in videos] == [keys] * 6
    rows = table(root)
    flat = [(video, question) for video in videos for question in video["questions"]]
    for (video, question), row in zip(flat, rows.to_dict("records"), strict=True):
        assert [video[key] for key in keys[:-1]] == [row[key] for key in keys[:-1]]
        keys_asked = ("question_id", "task_type", "question", "answer")
        assert [question[key] for key in keys_asked] == [row[key] for key in keys_asked]
        assert question["options"] == list(row["options"])
        assert question["response"] == said.get(row["question_id"], ("", None))[0]
    order = ["question_id", "task_type", "question", "options", "answer", "response"]
    assert list(videos[0]["questions"][0]) == order
    assert official_script(videos) == pytest.approx(made.metrics(marked)["Overall"])


def test_holdings(root: Path, copy: Path) -> None:
    """The table, every video, the subtitles there are; and long videos', which all have some."""
    held = benchmark(root).holdings()
    kinds = [one.what for one in held]
    assert [kinds.count(what) for what in ("annotations", "video", "subtitles")] == [1, 6, 4]
    assert all(one.needed == (one.what != "subtitles") for one in held)
    assert all(one.needed for one in benchmark(root, subtitles="all").holdings())
    (copy / "subtitle.zip").unlink()
    (copy / "videos_chunked_02.zip").unlink()
    held = benchmark(copy).holdings()
    assert {one.name for one in held if one.what == "subtitles"} == {
        "-mini601_Ab.srt",
        "-mini602_Ab.srt",
    }
    assert [one.path for one in held if one.name == "-mini602_Ab.mp4"] == [
        copy / "data" / "-mini602_Ab.mp4"
    ]


def test_videos_need_not_be_there(copy: Path) -> None:
    """Samples are listed all the same, at the place that is looked at first."""
    for archive in copy.glob("videos_*.zip"):
        archive.unlink()
    samples = benchmark(copy).samples()
    assert len(samples) == 18
    assert samples[0].video == copy / "data" / "-mini001_Ab.mp4"


def test_folders_of_pictures(copy: Path) -> None:
    """As published ReTaKe unpacks videos; a video that is there as a file is taken as that."""
    for video in miniature.VIDEOS[:2]:
        for number in range(3):
            path = copy / "data_25fps" / video.videoID / f"{number:05}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
    assert ".zip" not in str(benchmark(copy).samples()[0].video)
    (copy / "data").mkdir()
    (copy / "data" / "-mini001_Ab.mp4").write_bytes(b"")
    videos = {sample.id: sample.video for sample in benchmark(copy).samples()}
    assert videos["001-1"] == copy / "data" / "-mini001_Ab.mp4"
    assert videos["002-1"] == copy / "data_25fps" / "-mini002_Ab"
    assert videos["301-1"] == copy / "videos_chunked_01.zip" / "data" / "-mini301_Ab.mp4"


def test_parts_of_a_protocol_are_exchanged(root: Path) -> None:
    """Official, but an answer without a letter is wrong, or a guess that a seed decides."""
    samples = benchmark(root).samples()
    silent = {sample.id: ("no idea", None) for sample in samples}
    wrong = benchmark(root, unparsed="wrong")
    assert wrong.metrics(marked_by(wrong, samples, silent))["Overall"] == 0
    guesses = []
    for seed in (1, 1, 2):
        made = benchmark(root, unparsed="guess", seed=seed)
        guesses.append([one.score for one in marked_by(made, samples, silent)])
    assert guesses[0] == guesses[1] != guesses[2]
    lenient = benchmark(root, extraction="lenient")
    assert lenient.parse(samples[0], "option (c)") == "C"
