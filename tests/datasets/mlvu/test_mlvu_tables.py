"""MLVU: what its tables may hide, how much there is of it, and tables that changed."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from retake.core.benchmark import Count
from retake.core.errors import UsageError
from tests.datasets.mlvu.asking import answered, benchmark, rows_of, write
from tests.miniatures import mlvu as miniature


def test_a_table_that_hides_answers(copy: Callable[..., Path]) -> None:
    """That of the test split may; in the dev split it is another table, or a damaged one."""
    root = copy(layout="hub")
    rows = pq.read_table(root / miniature.PARQUET).to_pylist()
    rows[2]["answer"] = None
    pq.write_table(pa.Table.from_pylist(rows), root / miniature.PARQUET)
    with pytest.raises(UsageError, match=r"Row 3 of .* says no answer") as caught:
        benchmark(root).samples()
    assert "split=test" in str(caught.value)
    assert [one.answer for one in benchmark(root, split="test").samples()].count(None) == 1


def test_letters_that_are_options_too(copy: Callable[..., Path]) -> None:
    """In the tables that lmms-eval reads an answer is a letter, whatever options are called."""
    root = copy(layout="hub")
    rows = pq.read_table(root / miniature.PARQUET).to_pylist()
    rows[0] |= {"candidates": ["D", "C", "B", "A"], "answer": "A"}
    rows[1] |= {"candidates": ["red", "E", "blue", "cyan"], "answer": "E"}
    rows[2] |= {"answer": "none of them"}
    pq.write_table(pa.Table.from_pylist(rows), root / miniature.PARQUET)
    by_id = {one.id: one.answer for one in benchmark(root).samples()}
    assert [by_id[f"plotQA/{number}"] for number in (0, 1)] == ["A", "B"]
    assert benchmark(root).counts()["answers that are no candidate"].found == 1


@pytest.mark.parametrize(
    ("options", "questions", "published"),
    [
        ({}, 14, 2174),
        ({"tasks": "generation"}, 4, None),
        ({"tasks": "all"}, 18, None),
        ({"split": "test"}, 12, 502),
    ],
)
def test_how_much_there_is(
    made: Callable[..., Path], options: dict[str, str], questions: int, published: int | None
) -> None:
    made_it = benchmark(made(split=options.get("split", "dev")), **options)
    counts = made_it.counts()
    assert counts["questions"] == Count(questions, published)
    assert counts["videos"] == Count(len({one.video for one in made_it.samples()}))
    lost = counts.get("answers that are no candidate")
    assert lost == (None if options.get("tasks") == "generation" else Count(0))


def test_a_table_that_changed(copy: Callable[..., Path]) -> None:
    """Answers to questions that it no longer has are submitted by nobody."""
    root, file = copy(), "MLVU/json/9_summary.json"
    made_it = benchmark(root, tasks="generation")
    marked = answered(made_it, made_it.samples())
    assert made_it.submission(marked)
    write(root, file, rows_of(root, file)[:1])
    with pytest.raises(UsageError, match=r"1 of .* '9_summary/1': the table has changed"):
        made_it.submission(marked)
