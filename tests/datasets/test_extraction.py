"""What each rule reads, in a table of outputs as models give them, and what holds of any text.

The letters in `outputs.json` were not written by the rules under test: those of the scripts came
from the scripts themselves, run once on the same outputs; those of "lenient" from a person.
"""

import json
import re
import string
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retake.core.errors import UsageError
from retake.datasets.extraction import LETTERS, RULES, extract

_DOCS = Path(__file__).parents[2] / "docs" / "datasets" / "differences.md"
_TABLE = json.loads((Path(__file__).parent / "outputs.json").read_text(encoding="utf-8"))
_COLUMNS: list[str] = _TABLE["rules"]
_OPTIONS: dict[str, list[str]] = _TABLE["options"]

#: Rules that read as another does, which has a column.
_ALIKE = {
    "lmms-eval-mlvu": "lmms-eval-videomme",
    "lmms-eval-lvbench": "lmms-eval-videomme",
    "lmms-eval-longvideobench": "longvideobench",
    "lmms-eval-0.7.1-videomme": "videomme-2024",
    "lmms-eval-0.7.1-lvbench": "videomme-2024",
    "lmms-eval-0.7.1-mlvu": "mlvu",
}
_ROWS = [
    (section, reads, said, _OPTIONS[options[0] if options else "five"])
    for section, rows in _TABLE["outputs"].items()
    for reads, said, *options in rows
]

_PIECES = [
    *LETTERS,
    *"abf().,:;!?\n ",
    *("Answer:", "Option:", "The correct answer", "The correct option"),
    *("(B)", "C.", "D)", "Best answer:", "Best option:", "The best option is", "The answer is"),
    *("The answer", "answer is", "I choose", "答案是", "\\boxed{", "}", "not", "or", "and"),
    *("<think>", "</think>", "option", "a red car", "A red car", "Because", "**"),
]
_texts = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(_PIECES), max_size=14).map("".join),
    st.lists(st.sampled_from(_PIECES), max_size=14).map(" ".join),
)
_options = st.sampled_from([*_OPTIONS.values(), ["yes", "no"], []])


def test_the_table_has_every_rule_and_many_outputs() -> None:
    assert set(_COLUMNS) | set(_ALIKE) == set(RULES)
    assert len(_ROWS) >= 200
    assert len({(said, tuple(options)) for _, _, said, options in _ROWS}) == len(_ROWS)
    for column, rule in enumerate(_COLUMNS):  # no column is idle, nor like another
        letters = Counter(reads[column] for _, reads, _, _ in _ROWS)
        assert len(letters) >= 5, rule
        assert letters["-"] >= 20, rule
    columns = {tuple(reads[column] for _, reads, _, _ in _ROWS) for column in range(len(_COLUMNS))}
    assert len(columns) == len(_COLUMNS)


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_rule_reads_what_its_source_reads(rule: str) -> None:
    column = _COLUMNS.index(_ALIKE.get(rule, rule))
    for section, reads, said, options in _ROWS:
        expected = None if reads[column] == "-" else reads[column]
        assert extract(said, rule, options) == expected, (section, said)


@pytest.mark.parametrize("rule", _COLUMNS)
@settings(deadline=None)
@given(said=_texts, options=_options)
def test_a_rule_reads_a_letter_it_can_read_or_none(
    rule: str, said: str, options: list[str]
) -> None:
    letter = extract(said, rule, options)
    assert letter is None or letter in RULES[rule].letters


@settings(deadline=None)
@given(said=_texts, options=_options)
def test_lenient_reads_only_letters_that_options_have(said: str, options: list[str]) -> None:
    letter = extract(said, "lenient", options)
    assert letter is None or letter in (LETTERS[: len(options)] or LETTERS)


@pytest.mark.parametrize("rule", sorted(RULES))
@pytest.mark.parametrize("letter", LETTERS)
def test_a_letter_alone_is_read_by_whoever_knows_it(rule: str, letter: str) -> None:
    known = letter in RULES[rule].letters
    assert extract(letter, rule, _OPTIONS["six"]) == (letter if known else None)


@pytest.mark.parametrize("rule", sorted(set(_COLUMNS) - {"lmms-eval-0.2.4-longvideobench"}))
@settings(deadline=None)
@given(said=_texts, before=st.sampled_from(["", " ", "\n\t"]), after=st.sampled_from([" ", "\n"]))
def test_space_around_an_answer_does_not_matter(
    rule: str, said: str, before: str, after: str
) -> None:
    options = _OPTIONS["five"]
    assert extract(before + said + after, rule, options) == extract(said, rule, options)


@settings(deadline=None)
@given(_texts)
def test_two_missing_commas_matter_only_to_the_phrases_they_run_together(said: str) -> None:
    phrases = ("The best option is", "The correct option is", "Best answer:", "Best option:")
    read = [extract(said, rule, ()) for rule in ("videomme-2024", "retake")]
    assert read[0] == read[1] or any(phrase in said for phrase in phrases)


@settings(deadline=None)
@given(_texts)
def test_video_mme_takes_out_four_more_than_it_did(said: str) -> None:
    phrases = ("Answer:", "Option:", "The correct answer", "The correct option")
    read = [extract(said, rule, ()) for rule in ("videomme", "videomme-2024")]
    assert read[0] == read[1] or any(phrase in said for phrase in phrases)


@pytest.mark.parametrize(
    ("said", "now", "in_2024"),
    [
        ("Answer: C", "C", "A"),
        ("Answer: Answer: D", "D", "A"),
        ("Answer:", None, "A"),
        ("The correct option Answer: D", "D", "A"),
        ("Option: D", "D", "D"),  # its capital is none of those that are read
        ("Correct Answer: B", "C", "C"),  # neither knows "Correct"
        ("Best answer: C", "B", "B"),
        ("The best option isThe correct option is C", "C", "C"),  # what run together matches
        ("Best answer:Best option: C", "C", "C"),
    ],
)
def test_what_video_mmes_scripts_read(said: str, now: str | None, in_2024: str) -> None:
    """The letters are those of the scripts, run on these texts."""
    assert extract(said, "videomme", ()) == now
    assert extract(said, "videomme-2024", ()) == in_2024


@settings(deadline=None)
@given(_texts)
def test_a_script_that_knows_e_reads_as_the_others_where_there_is_none(said: str) -> None:
    said = said.replace("E", "")
    assert extract(said, "longvideobench", ()) == extract(said, "retake", ())


@settings(deadline=None)
@given(_texts)
def test_the_readings_of_mlvu_differ_only_in_what_may_stand_before_the_letter(said: str) -> None:
    strict, trimmed, last = (
        extract(said, rule, ()) for rule in ("mlvu-videochat", "mlvu-test", "mlvu")
    )
    assert strict is None or strict == trimmed == last
    assert ")" in said or strict == trimmed == last


@settings(deadline=None)
@given(
    letter=st.sampled_from(LETTERS),
    wrapped=st.sampled_from(
        ["{}", "({})", "{}.", "{})", "**{}**", "[{}]", "\\boxed{{{}}}", "<answer>{}</answer>"]
    ),
    said=st.sampled_from(
        ["{}", "The answer is {}", "Answer: {}", "I choose {}", "It is option {}", "答案是{}"]
    ),
    case=st.sampled_from([str.upper, str.lower]),
)
def test_lenient_reads_a_letter_however_it_is_said_and_dressed(
    letter: str, wrapped: str, said: str, case: Any
) -> None:
    answer = said.format(wrapped.format(case(letter)))
    assert extract(answer, "lenient", _OPTIONS["six"]) == letter


@settings(deadline=None)
@given(
    letters=st.permutations(LETTERS).map(lambda order: order[:2]),
    between=st.sampled_from([" or ", " and ", ", ", "/", " & ", " or maybe "]),
    said=st.sampled_from(["{}", "The answer is {}", "Answer: {}", "I choose {}", "({})"]),
)
def test_lenient_does_not_choose_between_two(letters: list[str], between: str, said: str) -> None:
    assert extract(said.format(between.join(letters)), "lenient", _OPTIONS["six"]) is None


@pytest.mark.parametrize(
    ("said", "letter"),
    [
        ("<answer>" * 3000 + "B", "B"),
        ("\\boxed{" * 3000 + "B", None),
        ("<think>" * 3000 + "B", None),
        ("B" + " " * 3000 + "or C", None),
        ("The answer is C. " * 300, "C"),
        ("B\n" * 300, "B"),
        ("A B C D " * 60, None),
    ],
)
def test_lenient_is_not_upset_by_a_model_that_does_not_stop(said: str, letter: str | None) -> None:
    assert extract(said, "lenient", _OPTIONS["five"]) == letter


@settings(deadline=None)
@given(st.text(alphabet=string.ascii_lowercase[6:] + " ,.", max_size=80))
def test_nothing_is_read_where_no_letter_is(said: str) -> None:
    for rule in RULES:
        assert extract(said, rule, ("a dog", "a cat")) is None


def test_the_examples_in_the_docs_are_rows_of_the_table() -> None:
    reads = {said: letters for _, letters, said, _ in reversed(_ROWS)}
    text = _DOCS.read_text(encoding="utf-8")
    rules, *shown = re.findall(
        r"^\| (?:said|`[^|]*`) (?:\| (?:`[a-z0-9.-]+`|[A-F-]) )+\|$", text, re.M
    )
    columns = [_COLUMNS.index(rule) for rule in re.findall(r"`([^`]+)`", rules)]
    assert len(columns) == 10
    assert len(shown) >= 19
    for row in shown:
        said, *letters = (cell.strip() for cell in row.strip("|").split("|"))
        assert letters == [reads[said.strip("`")][column] for column in columns], said
    assert f"{len(_ROWS)} outputs" in text


@pytest.mark.parametrize(
    ("given_name", "nearest"), [("video-mme", "videomme"), ("lenent", "lenient")]
)
def test_an_unknown_rule_is_answered_with_the_nearest(given_name: str, nearest: str) -> None:
    with pytest.raises(UsageError, match=given_name) as caught:
        extract("B", given_name, ())
    assert f"'{nearest}'" in str(caught.value.hint)
    assert "lmms-eval-0.7.1-mlvu" in str(caught.value.hint)
