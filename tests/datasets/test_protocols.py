"""Protocols: their parts by name, how answers without a letter count, and what averages are."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retake.core.benchmark import Marked, Sample
from retake.core.errors import UsageError
from retake.datasets.extraction import LETTERS, RULES
from retake.datasets.prompts import PROMPTS
from retake.datasets.protocols import (
    AVERAGES,
    PROTOCOLS,
    UNPARSED,
    Protocol,
    averaged,
    averages_of,
    guessed,
    marked_choice,
    resolve,
)


def _sample(answer: str | None = "B", options: int = 4, name: str = "1") -> Sample:
    texts = tuple(f"text {number}" for number in range(options))
    return Sample(name, Path("a.mp4"), "Which?", answer, "kind", options=texts)


def _marked(score: float | None, kind: str = "", duration: str = "") -> Marked:
    return Marked(
        id="1",
        video="a.mp4",
        kind=kind,
        groups={"duration": duration},
        options=(),
        expected="B",
        said="",
        parsed=None,
        score=score,
    )


def test_every_protocol_is_of_parts_that_there_are() -> None:
    for benchmark, protocols in PROTOCOLS.items():
        assert {"official", "lmms-eval"} <= set(protocols)
        for protocol in protocols.values():
            assert protocol.prompt in PROMPTS
            assert protocol.extraction in RULES
            assert protocol.unparsed in UNPARSED
            assert protocol.average in averages_of(benchmark)


def test_the_official_one_is_the_default() -> None:
    assert {name: resolve(name) for name in PROTOCOLS} == {
        "videomme": Protocol("videomme", "videomme", "left-out", "questions"),
        "mlvu": Protocol("mlvu", "mlvu", "wrong", "tasks"),
        "mlvu-test": Protocol("mlvu", "mlvu-test", "wrong", "tasks"),
        "lvbench": Protocol("lvbench", "lvbench", "wrong", "questions"),
        "longvideobench": Protocol("longvideobench", "longvideobench", "guess", "questions"),
    }


def test_video_mme_may_be_read_as_in_2024() -> None:
    earlier = resolve("videomme", "official-2024")
    assert earlier == resolve("videomme", extraction="videomme-2024")
    assert [each.mark(_sample("C"), "Answer: C") for each in (resolve("videomme"), earlier)] == [
        1,
        0,
    ]


def test_each_part_is_replaced_alone() -> None:
    whole = resolve("videomme", "retake")
    assert whole == Protocol("retake-videomme", "retake", "wrong", "durations")
    assert resolve("videomme", "retake", prompt="videomme") == Protocol(
        "videomme", "retake", "wrong", "durations"
    )
    assert resolve("videomme", "retake", extraction="lenient", unparsed="guess") == Protocol(
        "retake-videomme", "lenient", "guess", "durations"
    )
    assert resolve("videomme", "retake", average="tasks") == Protocol(
        "retake-videomme", "retake", "wrong", "tasks"
    )


@pytest.mark.parametrize(
    ("benchmark", "given_options", "says"),
    [
        ("videomme", {"protocol": "oficial"}, "Did you mean 'official'"),
        ("videomme", {"protocol": 3}, "Unknown protocol of videomme '3'"),
        (
            "longvideobench",
            {"protocol": "retake"},
            "There is: official, lmms-eval, lmms-eval-0.2.4",
        ),
        ("mlvu-test", {"protocol": "retake"}, "no protocol 'retake' for mlvu-test"),
        ("mlvu", {"prompt": "mvlu"}, "Did you mean 'mlvu'"),
        ("mlvu", {"extraction": "lenint"}, "Did you mean 'lenient'"),
        ("mlvu", {"extraction": ["mlvu"]}, "Unknown extraction of mlvu"),
        ("mlvu", {"unparsed": "left out"}, "Did you mean 'left-out'"),
        ("mlvu", {"average": "durations"}, "Allowed: questions, tasks"),
        ("lvbench", {"average": "mean"}, "Allowed: questions, tasks"),
    ],
)
def test_what_there_is_not_is_answered_with_what_there_is(
    benchmark: str, given_options: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(benchmark, **given_options)
    assert says in str(caught.value)


def test_a_read_letter_is_right_or_wrong_whatever_becomes_of_others() -> None:
    for unparsed in UNPARSED:
        assert marked_choice(_sample("B"), "B", unparsed) == 1
        assert marked_choice(_sample("B"), "A", unparsed) == 0
        assert marked_choice(_sample("B"), "F", unparsed) == 0  # which no option has
        assert marked_choice(_sample(None), "B", unparsed) is None
        assert marked_choice(_sample(None), None, unparsed) is None


def test_answers_without_a_letter_are_wrong_left_out_or_guessed() -> None:
    assert marked_choice(_sample(), None, "wrong") == 0
    assert marked_choice(_sample(), None, "left-out") is None
    for seed in range(20):
        guess = guessed(_sample(), seed)
        assert marked_choice(_sample(guess), None, "guess", seed) == 1
        wrong = "ABCD".replace(guess, "")[0]
        assert marked_choice(_sample(wrong), None, "guess", seed) == 0


def test_a_guess_is_the_same_in_every_run_and_other_for_another_sample_or_seed() -> None:
    assert [guessed(_sample(name=str(n))) for n in range(12)] == list("DBACCBCABAAD")
    by_name = {tuple(guessed(_sample(name=str(n)), seed) for n in range(40)) for seed in range(5)}
    assert len(by_name) == 5


@pytest.mark.parametrize("options", [2, 3, 4, 5, 6])
def test_every_option_is_as_likely_to_be_guessed(options: int) -> None:
    drawn = Counter(guessed(_sample(options=options, name=str(n))) for n in range(6000))
    assert set(drawn) == set(LETTERS[:options])
    for count in drawn.values():  # five standard deviations of a fair draw
        assert abs(count - 6000 / options) < 5 * (6000 / options * (1 - 1 / options)) ** 0.5


def test_a_protocol_reads_and_marks_in_one() -> None:
    sample = _sample("C", options=5)
    official, lmms = resolve("videomme"), resolve("videomme", "lmms-eval")
    assert [official.mark(sample, said) for said in ("C", "B", "no idea")] == [1, 0, None]
    assert [lmms.mark(sample, said) for said in ("C", "B", "no idea")] == [1, 0, 0]
    assert official.mark(sample, "Best answer: C") == 0  # it reads the B of "Best"
    assert resolve("videomme", "retake").mark(sample, "Best answer: C") == 1
    guess = resolve("longvideobench")
    assert guess.mark(sample, "no idea", seed=3) == float(guessed(sample, 3) == "C")
    assert guess.mark(_sample("A", options=4), "E") == 0  # read, though no option has it


def test_averages_differ_where_parts_are_of_unlike_size() -> None:
    marked = [
        *(_marked(1, "count", "short") for _ in range(6)),
        *(_marked(0, "count", "long") for _ in range(2)),
        *(_marked(0, "order", "long") for _ in range(2)),
        *(_marked(None, "order", "medium") for _ in range(9)),  # left out, wherever it belongs
    ]
    assert averaged(marked, "questions") == 6 / 10
    assert averaged(marked, "durations") == (1 + 0) / 2
    assert averaged(marked, "tasks") == (6 / 8 + 0) / 2


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 1.0, None]),
            st.sampled_from(["count", "order", "plot"]),
            st.sampled_from(["short", "medium", "long"]),
        )
    ),
    st.sampled_from(AVERAGES),
)
def test_an_average_lies_among_the_scores(rows: list[tuple[Any, str, str]], average: str) -> None:
    marked = [_marked(*row) for row in rows]
    scores = [one.score for one in marked if one.score is not None]
    value = averaged(marked, average)
    if not scores:
        assert value is None
    else:
        assert value is not None
        assert min(scores) <= value <= max(scores)
        assert averaged(marked * 3, average) == pytest.approx(value)


def test_an_unknown_average_is_answered_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="Unknown average 'median'") as caught:
        averaged([_marked(1)], "median")
    assert "durations, questions, tasks" in str(caught.value.hint)
