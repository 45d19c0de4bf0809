"""Prompts, letter for letter as their sources have them."""

import pytest

from retake.core.errors import UsageError
from retake.datasets.prompts import PROMPTS, phrased

_QUESTION = "What is the color of the clothing worn by the persons in the video?"
_OPTIONS = ("Black.", "Gray.", "Green.", "Brown.")
_ASKED = (_QUESTION, _OPTIONS)
_DOTTED = "A. Black.\nB. Gray.\nC. Green.\nD. Brown."
_BRACKETED = "(A) Black.\n(B) Gray.\n(C) Green.\n(D) Brown."
_DIRECTLY = "Answer with the option's letter from the given choices directly."
_SPOKEN = "Hi guys, I'm going to show you how to perfectly prepare a ...\nSo."


def test_videomme_asks_as_its_readme_shows() -> None:
    asked = (
        "Select the best answer to the following multiple-choice question based on the video. "
        "Respond with only the letter (A, B, C, or D) of the correct option.\n"
        f"{_QUESTION}\n{_DOTTED}\nThe best answer is:"
    )
    assert phrased("videomme", *_ASKED) == asked
    assert phrased("videomme", *_ASKED, subtitles=_SPOKEN) == (
        f"This video's subtitles are listed below:\n{_SPOKEN}\n{asked}"
    )
    assert phrased("videomme", *_ASKED, subtitles="") == asked


def test_retake_asks_in_words_of_its_own() -> None:
    asked = f"{_QUESTION}\nOptions:\n{_DOTTED}\n{_DIRECTLY}"
    assert phrased("retake-videomme", *_ASKED) == asked
    assert phrased("retake-videomme", *_ASKED, subtitles=_SPOKEN) == (
        f"This video's subtitles are listed below:\n{_SPOKEN}\n{asked}"
    )
    assert phrased("retake-videomme", *_ASKED, subtitles="") == asked
    assert phrased("retake-mlvu", "How often?", ("0", "1", "2", "3")) == (
        f"How often?\nOptions:\nA. 0.\nB. 1.\nC. 2.\nD. 3.\n{_DIRECTLY}"
    )
    more = ("0", "1", "2", "3", "4", "5")
    assert phrased("retake-mlvu", "How often?", more) == phrased(
        "retake-mlvu", "How often?", more[:4]
    )


def test_retake_rewrites_the_options_that_a_question_of_lvbench_has_in_it() -> None:
    whole = "What year appears?\n(A) 1636\n(B) 1366\n(C) 1363\n(D) 1633"
    asked = f"What year appears?\nOptions:\nA. 1636\nB. 1366\nC. 1363\nD. 1633.\n{_DIRECTLY}"
    assert phrased("retake-lvbench", whole, ()) == asked
    assert (
        phrased("retake-lvbench", "What year appears?", ("1636", "1366", "1363", "1633")) == asked
    )


def test_lmms_eval_speaks_of_subtitles_where_there_are_none() -> None:
    start = (
        "Select the best answer to the following multiple-choice question based on the video and "
        "the subtitles. Respond with only the letter (A, B, C, or D) of the correct option."
    )
    assert (
        phrased("lmms-eval-videomme", *_ASKED) == f"{start}\n{_QUESTION}\n{_DOTTED}\n\n{_DIRECTLY}"
    )
    silent = PROMPTS["lmms-eval-videomme"].silent
    assert silent == "No subtitles available"
    for said in (_SPOKEN, "", silent):  # "": a file, but no line of it in the frames
        assert phrased("lmms-eval-videomme", *_ASKED, subtitles=said) == (
            f"This video's subtitles are listed below: \n{said}\n"
            f"{start}\n{_QUESTION}\n{_DOTTED}\nThe best answer is:"
        )


def test_others_leave_the_subtitles_out_that_a_video_does_not_have() -> None:
    for name in set(PROMPTS) - {"lmms-eval-videomme"}:
        assert phrased(name, *_ASKED, subtitles=PROMPTS[name].silent) == phrased(name, *_ASKED)


def test_mlvu_begins_the_answer() -> None:
    assert phrased("mlvu", *_ASKED) == (
        "Carefully watch this video and pay attention to every detail. Based on your "
        "observations, select the best option that accurately addresses the question.\n"
        f"Question: {_QUESTION}\nOptions:\n{_BRACKETED}\nOnly give the best option.\nBest Option: ("
    )
    assert phrased("lmms-eval-mlvu", *_ASKED) == (
        f"{_QUESTION}\n{_BRACKETED}\nOnly give the best option.\nBest option: ("
    )
    assert phrased("bare", *_ASKED) == f"{_QUESTION}\n{_BRACKETED}"
    assert phrased("mlvu-open", "What happens?", ()) == (
        "Carefully watch this video and pay attention to every detail. Based on your "
        "observations, answer the given questions.\nWhat happens?"
    )


def test_lvbench_is_asked_with_its_options_in_the_question_or_beside_it() -> None:
    asked = f"{_QUESTION}\n{_BRACKETED}\nAnswer the question with the option letter"
    assert phrased("lmms-eval-lvbench", *_ASKED) == asked
    assert phrased("lmms-eval-lvbench", f"{_QUESTION}\n{_BRACKETED}", ()) == asked
    asked = (
        f"{_QUESTION}\n{_BRACKETED}\nPlease select the best answer from the options above and "
        "directly provide the letter representing your choice without giving any explanation."
    )
    assert phrased("lvbench", *_ASKED) == asked
    assert phrased("lvbench", f"{_QUESTION}\n{_BRACKETED}", ()) == asked


def test_longvideobench_puts_subtitles_before_the_question() -> None:
    asked = f"{_QUESTION}\n{_DOTTED}\n{_DIRECTLY}"
    assert phrased("longvideobench", *_ASKED) == f"Question: {asked}"
    assert phrased("longvideobench", *_ASKED, subtitles="a\nb") == f"a\nb\nQuestion: {asked}"
    assert phrased("lmms-eval-longvideobench", *_ASKED) == f"{asked}\n"
    assert phrased("lmms-eval-longvideobench", *_ASKED, subtitles="a") == f"a\n{asked}\n"


@pytest.mark.parametrize("prompt", sorted(set(PROMPTS) - {"mlvu-open"}))
def test_every_option_is_shown_in_order_and_as_it_is(prompt: str) -> None:
    options = ("{0}", "(A) first", "50 %", "end.")
    asked = phrased(prompt, "Which of {these}?", options)
    places = [asked.index(text) for text in ("Which of {these}?", *options)]
    assert places == sorted(places)


@pytest.mark.parametrize("prompt", sorted(PROMPTS))
def test_a_question_that_has_its_options_gets_no_second_list(prompt: str) -> None:
    asked = phrased(prompt, "What?\n(A) x\n(B) y", ())
    assert asked.count("x") - asked.count("ex") == 1
    assert "A. x" in asked or "(A) x" in asked


def test_an_unknown_prompt_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="Unknown prompt 'video-mme'") as caught:
        phrased("video-mme", *_ASKED)
    assert "'videomme'" in str(caught.value.hint)
