"""Reports of runs and sweeps: their numbers are the summary's, and data stays data."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from retake.core.errors import RetakeError, RunFolderError, UsageError
from retake.evaluation.compare import compare
from retake.evaluation.records import read_run
from retake.evaluation.report import build, to_html, to_markdown
from retake.evaluation.report.differences import points
from retake.evaluation.report.document import Page, Table
from retake.evaluation.report.gathering import gather
from retake.evaluation.report.naming import method_names
from retake.evaluation.statistics import SIGNIFICANT
from retake.evaluation.summary import summarise
from tests.evaluation.pretend import FULL, LENGTHS, Method, write_run, write_sweep
from tests.evaluation.reading import Read, read

PIVOTKV, RANDOM = Method("dpselect", "pivotkv", 0.1), Method("dpselect", "random", 0.8)
SHARES = (1.0, 0.5, 0.25)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of two methods at three shares, and the full cache; do not change its files."""
    return write_sweep(tmp_path_factory.mktemp("sweep") / "swept", [PIVOTKV, RANDOM], SHARES)


@pytest.fixture
def shown(swept: Path) -> Read:
    """The sweep's page, read back."""
    return read(to_html(build([swept])))


def _summary(folder: Path) -> dict[str, Any]:
    records = read_run(folder)
    return summarise(records.samples, records.videos)


def _text(score: dict[str, Any]) -> str:
    """A score as a table has it."""
    return f"{100 * score['accuracy']:.1f} % {100 * score['low']:.1f}–{100 * score['high']:.1f}"


def test_tables_have_the_summary_s_numbers(swept: Path, shown: Read) -> None:
    """Every method at every share: accuracy and interval as `summarise` has them."""
    (table,) = (rows for title, rows in shown.tables.items() if "over all questions" in title)
    assert table[0] == ["Method", "keeps 1", "keeps 1/2", "keeps 1/4"]
    found = {row[0]: row[1:] for row in table[1:]}
    for method in (PIVOTKV, RANDOM):
        runs = [swept / "cells" / f"{method.name}-keep-{share:g}" for share in SHARES]
        assert found[method.name] == [_text(_summary(run)["overall"]) for run in runs]
    full = _text(_summary(swept / "cells" / "full")["overall"])
    assert found["full"] == [full, "–", "–"]


def test_data_are_the_summary(swept: Path, shown: Read) -> None:
    """The page's JSON holds each run's whole summary, unrounded."""
    assert shown.data["format"] == "retake.report/1"
    assert len(shown.data["runs"]) == 1 + 2 * len(SHARES)
    for run in shown.data["runs"]:
        assert run["summary"] == _plain(_summary(Path(run["folder"])))
        assert run["complete"]


def _plain(value: Any) -> Any:
    """As JSON gives it back."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def test_lengths_kinds_and_needles_are_shown(swept: Path, shown: Read) -> None:
    """A table a length, a table of kinds a share, and the needle maps' numbers."""
    summary = _summary(swept / "cells" / f"{RANDOM.name}-keep-0.25")
    for score, length in zip(summary["groups"]["seconds"], LENGTHS, strict=True):
        rows = shown.tables[f"Accuracy on videos of {length:g} s."]
        assert _text(score) in next(row for row in rows if row[0] == RANDOM.name)
    kinds = shown.tables["Accuracy by kind of question, keeping 1/4."]
    assert kinds[0][1:] == ["count", "needle colour", "needle order"]
    row = next(row for row in kinds if row[0] == RANDOM.name)
    assert row[1:] == [_text(score) for score in summary["kinds"]]
    (cells,) = (each["cells"] for each in summary["crossed"] if each["rows"] == "depth")
    for cell in cells:
        spoken = f"{100 * cell['depth']:.0f} % deep in {cell['seconds']:g} s: "
        assert f"{spoken}{100 * cell['accuracy']:.1f} %" in shown.text


def test_differences_are_those_of_compare(swept: Path, shown: Read) -> None:
    """Paired with the full cache, as `compare` has it."""
    runs = [swept / "cells" / "full", swept / "cells" / f"{RANDOM.name}-keep-0.25"]
    overall = compare([read_run(run) for run in runs])["pairs"][0]["overall"]
    (table,) = (
        rows for title, rows in shown.tables.items() if title.startswith("Each run against")
    )
    row = next(row for row in table if row[0] == RANDOM.name)
    assert row[-1].startswith(f"{100 * overall['difference']:+.1f}".replace("-", "−"))


def test_bold_differences_are_those_that_compare_stars(tmp_path: Path) -> None:
    """By the corrected p, on the page and in Markdown; an interval off 0 is not enough."""
    folder = write_sweep(tmp_path / "swept", [PIVOTKV, Method("dpselect", "bad", 9.0)], SHARES)
    page = build([folder])
    rows = [pair["overall"] for pair in page.data["comparison"]["pairs"]]
    sure = {points(row["difference"]) for row in rows if row["p_corrected"] < SIGNIFICANT}
    off = {points(row["difference"]) for row in rows if row["low"] > 0 or row["high"] < 0}
    assert sure < off
    tables = [each for each in blocks(page) if "Bold: p, corrected" in each.caption]
    assert [table.caption.partition(" ")[0] for table in tables] == ["Each", "Paired", "Percentage"]
    for table in tables[:2]:
        bold = {cell.text for row in table.rows for cell in row if cell.strong}
        assert bold == sure
    text, html = to_markdown(page), to_html(page)
    for difference in off:
        assert (f"**{difference}**" in text) == (difference in sure)
        assert (f"<b>{difference}</b>" in html) == (difference in sure)
    assert "the interval is off 0" not in text + html


def blocks(page: Page) -> Iterator[Table]:
    """All tables of a page, folded ones too."""
    found = [block for section in page.sections for block in section.blocks]
    while found:
        block = found.pop(0)
        found[:0] = getattr(block, "blocks", ())
        if isinstance(block, Table):
            yield block


def test_methods_and_shares_come_from_the_sweep(swept: Path) -> None:
    """A method that no share touches is there once, as what keeps everything."""
    views = gather([swept]).views
    assert [(each.method, each.ratio) for each in views][:1] == [("full", 1.0)]
    assert [each.ratio for each in views if each.method == RANDOM.name] == list(SHARES)


def test_page_loads_nothing_and_runs_nothing(shown: Read) -> None:
    """No address but anchors and data, no script but the JSON, a policy that forbids the rest."""
    assert all(each.startswith(("#", "data:")) for each in shown.addresses)
    assert shown.tags["script"] == 1
    assert not {"iframe", "img", "object", "embed", "audio", "video"} & set(shown.tags)


def test_names_from_data_are_only_text(tmp_path: Path) -> None:
    """Markup in names, videos, notes and options changes nothing but what is read."""
    nasty = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7*7 }}"
    method = Method(nasty, f"</style>{nasty}")
    runs = [
        write_run(tmp_path / "a", method, 0.5, name=f"</title>{nasty}", notes=(nasty,)),
        write_run(tmp_path / "b", FULL, name=nasty, config={"model": {"path": nasty}}),
    ]
    plain = read(to_html(build([write_run(tmp_path / "c", FULL), runs[1]])))
    html = to_html(build(runs))
    found = read(html)
    assert nasty in found.text
    assert set(found.tags) == set(plain.tags)
    assert found.tags["script"] == found.tags["style"] == found.tags["head"] == 1
    assert html.count("alert(1)") > 3
    assert found.data["runs"][1]["name"] == nasty
    assert "\\<script\\>" in to_markdown(build(runs))


@pytest.mark.parametrize(
    ("answered", "words"),
    [(0, "No question was answered yet"), (7, "This run is not complete: 7 of 54")],
)
def test_partial_runs_say_so(tmp_path: Path, answered: int, words: str) -> None:
    """An empty run and one in progress give pages; their numbers are of what there is."""
    found = read(to_html(build([write_run(tmp_path / "run", PIVOTKV, 0.5, answered=answered)])))
    assert words in found.text
    (run,) = found.data["runs"]
    assert (run["summary"]["overall"] or {"questions": 0})["questions"] == answered
    assert not run["complete"]


def test_sweep_in_progress_lists_what_is_missing(tmp_path: Path, swept: Path) -> None:
    """Cells that are not begun are named, and the others shown."""
    folder = tmp_path / "going-on"
    shutil.copytree(swept, folder)
    shutil.rmtree(folder / "cells" / f"{RANDOM.name}-keep-0.25")
    found = read(to_html(build([folder])))
    assert "1 run is not complete" in found.text
    assert f"{RANDOM.name}-keep-0.25 (not begun)" in found.text


def test_several_runs_are_compared_with_the_first(tmp_path: Path) -> None:
    """A comparison names methods by what differs, and pairs their questions."""
    runs = [write_run(tmp_path / each.compressor, each, 0.25) for each in (PIVOTKV, RANDOM)]
    page = build(runs)
    assert page.title == "Comparison pivotkv vs. random"
    assert [each["method"] for each in page.data["runs"]] == ["pivotkv", "random"]
    assert page.data["comparison"]["baseline"] == "pivotkv"
    assert "Differences from pivotkv" in read(to_html(page)).text


def test_runs_of_other_questions_are_not_compared(tmp_path: Path) -> None:
    """They are shown, and the page says why there are no differences."""
    runs = [
        write_run(tmp_path / "a", PIVOTKV, 0.25, lengths=(64.0,)),
        write_run(tmp_path / "b", RANDOM, 0.25, lengths=(128.0,)),
    ]
    page = build(runs)
    assert page.data["comparison"] is None
    assert "no sample in common" in " ".join(page.notices)


def test_markdown_has_the_same_tables(swept: Path, shown: Read) -> None:
    """Every table of the page is in the Markdown, number by number."""
    text = to_markdown(build([swept]))
    (table,) = (rows for title, rows in shown.tables.items() if "over all questions" in title)
    for row in table[1:]:
        line = next(line for line in text.splitlines() if line.startswith(f"| {row[0]} "))
        assert line.replace("**", "").replace("(", "").replace(")", "").split(" | ")[1:] == [
            *row[1:-1],
            f"{row[-1]} |",
        ]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder / "nowhere", "There is no folder"),
        (lambda folder: _file(folder), "is a file"),
        (lambda folder: folder, "neither a run nor a sweep"),
        (lambda folder: _broken(folder), "damaged"),
    ],
)
def test_what_is_no_run_is_refused(tmp_path: Path, make: Any, words: str) -> None:
    """What was given, and what a run is."""
    with pytest.raises(RetakeError, match=words):
        build([make(tmp_path)])


def _file(folder: Path) -> Path:
    path = folder / "file"
    path.touch()
    return path


def _broken(folder: Path) -> Path:
    run = write_run(folder / "run", PIVOTKV)
    (run / "samples.jsonl").write_text("no JSON\n{}\n")
    return run


def test_a_folder_of_runs_says_where_they_are(tmp_path: Path) -> None:
    """Runs a folder deeper are named, and one given twice is refused."""
    run = write_run(tmp_path / "run", PIVOTKV)
    with pytest.raises(RunFolderError) as caught:
        build([tmp_path])
    assert str(run) in str(caught.value.hint)
    with pytest.raises(UsageError, match="given twice"):
        build([run, tmp_path / "." / "run"])


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        # (what two runs' configurations say, what tells them apart)
        (
            [{"prefill": {"keep_ratio": 0.5}}, {"prefill": {"keep_ratio": 0.25}}],
            ["dpselect + pivotkv", "dpselect + pivotkv"],
        ),
        (
            [{"prefill": {"positions": "reforge"}}, {"prefill": {"positions": "original"}}],
            ["dpselect + pivotkv, positions=reforge", "dpselect + pivotkv, positions=original"],
        ),
        (
            [
                {"compressor": {"name": "snapkv", "options": {"window": 8}}},
                {"compressor": {"name": "snapkv", "options": {"window": 16}}},
            ],
            ["snapkv (window=8)", "snapkv (window=16)"],
        ),
        (
            [
                {"compressor": {"name": "pyramidkv", "options": {"of": {"name": "h2o"}}}},
                {"compressor": {"name": "./mine.py:Mine", "options": {}}},
            ],
            ["pyramidkv(h2o)", "Mine"],
        ),
        (
            [{"model": {"path": "/models/small"}}, {"model": {"path": "/models/large"}}],
            ["dpselect + pivotkv, model.path=small", "dpselect + pivotkv, model.path=large"],
        ),
    ],
)
def test_methods_are_named_by_what_differs(
    tmp_path: Path, changes: list[dict[str, Any]], names: list[str]
) -> None:
    """Parts, their options, what is inside them, any other key; never how much is kept."""
    runs = [
        read_run(write_run(tmp_path / str(at), PIVOTKV, config=change))
        for at, change in enumerate(changes)
    ]
    assert method_names([run.header for run in runs]) == names
