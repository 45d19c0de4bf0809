"""How each benchmark, the published ReTaKe and lmms-eval phrase a multiple-choice question.

The idea: the wording is part of a benchmark, so that it is kept letter for letter, by name.
Options are given as texts alone; the prompt writes their letters the way its source does.
A question that has its options in it already (LVBench as distributed) is given without options.
Texts that were a system message, or the beginning of the model's answer, are lines of the same
message here.

Sources: BradyFU/Video-MME README.md; JUNJIE99/MLVU multiple_choice_evaluation/choice_bench.py,
Evaluation_Test/test_bench.py and videochat2/open_bench.py; longvideobench/LongVideoBench
longvideobench/longvideobench_dataset.py; SCZwangxiao/video-ReTaKe scripts/utils, and
build_lvbench_dataset.py of retakecvpr/retake, its first publication; LVBench's paper; lmms-eval
0.7.3.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import attrs

from retake.core.errors import unknown_name
from retake.datasets.extraction import LETTERS

#: Takes a question, the options' texts, and the subtitles or None.
Phrasing = Callable[[str, Sequence[str], str | None], str]

_DIRECTLY = "Answer with the option's letter from the given choices directly."
_DOT, _BRACKETS = "{}. {}", "({}) {}"
_SUBTITLES = "This video's subtitles are listed below:"


@attrs.frozen
class Prompt:
    """A way of asking.

    Attributes:
        phrase: given a question, its options' texts and the subtitles (None: asked without;
            "": no line is to be shown), the text for the model.
        source: where it is from.
        silent: to be given as the subtitles of a video that has no file of them.
    """

    phrase: Phrasing
    source: str
    silent: str = ""


def phrased(
    prompt: str, question: str, options: Sequence[str], subtitles: str | None = None
) -> str:
    """A question as the model is asked it.

    Args:
        prompt: one of `PROMPTS`.
        question: without its options; with them where `options` is empty.
        options: their texts without letters, in the letters' order.
        subtitles: the text that belongs to the frames; None where it is asked without subtitles,
            "" where that is no line; `Prompt.silent` where the video has none at all.

    Raises:
        UsageError: there is no such prompt.
    """
    if prompt not in PROMPTS:
        raise unknown_name("prompt", prompt, PROMPTS)
    return PROMPTS[prompt].phrase(question, options, subtitles)


def _lines(*parts: str | None) -> str:
    return "\n".join(part for part in parts if part)


def _listed(options: Sequence[str], form: str, head: str = "") -> str:
    """The options by letter, one a line; nothing where the question has them already."""
    letters = LETTERS[: len(options)]
    lines = [form.format(letter, text) for letter, text in zip(letters, options, strict=True)]
    return "\n".join([head, *lines] if head and lines else lines)


def _videomme(question: str, options: Sequence[str], subtitles: str | None) -> str:
    return _lines(
        f"{_SUBTITLES}\n{subtitles}" if subtitles else None,
        "Select the best answer to the following multiple-choice question based on the video. "
        "Respond with only the letter (A, B, C, or D) of the correct option.",
        question,
        _listed(options, _DOT),
        "The best answer is:",
    )


def _lmms_eval_videomme(question: str, options: Sequence[str], subtitles: str | None) -> str:
    """Speaks of subtitles where there are none, too; an empty line before its last.

    Subtitles of which no line is to be shown leave their line empty.
    """
    asked = _lines(
        "Select the best answer to the following multiple-choice question based on the video and "
        "the subtitles. Respond with only the letter (A, B, C, or D) of the correct option.",
        question,
        _listed(options, _DOT),
    )
    if subtitles is None:
        return f"{asked}\n\n{_DIRECTLY}"
    return f"{_SUBTITLES} \n{subtitles}\n{asked}\nThe best answer is:"


def _retake_videomme(question: str, options: Sequence[str], subtitles: str | None) -> str:
    return _lines(
        f"{_SUBTITLES}\n{subtitles}" if subtitles else None,
        question,
        _listed(options, _DOT, "Options:"),
        _DIRECTLY,
    )


def _mlvu(question: str, options: Sequence[str], subtitles: str | None) -> str:
    """System message, question and the beginning of the answer, in one.

    The template leaves open whether "Only give the best option." is a line of its own; with
    every model of the repository it is.
    """
    return _lines(
        "Carefully watch this video and pay attention to every detail. Based on your "
        "observations, select the best option that accurately addresses the question.",
        f"Question: {question}",
        _listed(options, _BRACKETS, "Options:"),
        "Only give the best option.",
        "Best Option: (",
    )


def _mlvu_open(question: str, options: Sequence[str], subtitles: str | None) -> str:
    return _lines(
        "Carefully watch this video and pay attention to every detail. Based on your "
        "observations, answer the given questions.",
        question,
    )


def _retake_mlvu(question: str, options: Sequence[str], subtitles: str | None) -> str:
    """Of more than four options, four."""
    return _lines(question, _listed(options[:4], "{}. {}.", "Options:"), _DIRECTLY)


def _bare(question: str, options: Sequence[str], subtitles: str | None) -> str:
    return _lines(question, _listed(options, _BRACKETS))


def _lmms_eval_mlvu(question: str, options: Sequence[str], subtitles: str | None) -> str:
    return _lines(
        question, _listed(options, _BRACKETS), "Only give the best option.", "Best option: ("
    )


def _lvbench(question: str, options: Sequence[str], subtitles: str | None) -> str:
    return _lines(
        question,
        _listed(options, _BRACKETS),
        "Please select the best answer from the options above and directly provide the letter "
        "representing your choice without giving any explanation.",
    )


def _lmms_eval_lvbench(question: str, options: Sequence[str], subtitles: str | None) -> str:
    return _lines(
        question, _listed(options, _BRACKETS), "Answer the question with the option letter"
    )


def _retake_lvbench(question: str, options: Sequence[str], subtitles: str | None) -> str:
    """A full stop follows the last option; those in a question are written anew."""
    if not options:
        question = question.replace("\n(A)", "\nOptions:\nA.")
        for letter in "BCD":
            question = question.replace(f"\n({letter})", f"\n{letter}.")
        return f"{question}.\n{_DIRECTLY}"
    return f"{question}\n{_listed(options, _DOT, 'Options:')}.\n{_DIRECTLY}"


def _longvideobench(question: str, options: Sequence[str], subtitles: str | None) -> str:
    return _lines(subtitles, f"Question: {question}", _listed(options, _DOT), _DIRECTLY)


def _lmms_eval_longvideobench(question: str, options: Sequence[str], subtitles: str | None) -> str:
    return _lines(subtitles, question, _listed(options, _DOT), _DIRECTLY) + "\n"


PROMPTS: Mapping[str, Prompt] = MappingProxyType(
    {
        "videomme": Prompt(_videomme, "Video-MME, README.md"),
        "mlvu": Prompt(_mlvu, "MLVU, multiple_choice_evaluation/choice_bench.py"),
        "mlvu-open": Prompt(_mlvu_open, "MLVU, videochat2/open_bench.py"),
        "lvbench": Prompt(_lvbench, "LVBench, arXiv 2406.08035, section 4.1"),
        "longvideobench": Prompt(_longvideobench, "LongVideoBench, longvideobench_dataset.py"),
        "retake-videomme": Prompt(_retake_videomme, "video-ReTaKe, build_videomme_dataset.py"),
        "retake-mlvu": Prompt(_retake_mlvu, "video-ReTaKe, build_mlvu_test_dataset.py"),
        "retake-lvbench": Prompt(_retake_lvbench, "retakecvpr/retake, build_lvbench_dataset.py"),
        "lmms-eval-videomme": Prompt(
            _lmms_eval_videomme, "lmms-eval, tasks/videomme", silent="No subtitles available"
        ),
        "lmms-eval-mlvu": Prompt(_lmms_eval_mlvu, "lmms-eval, tasks/mlvu/mlvu_dev.yaml"),
        "lmms-eval-lvbench": Prompt(_lmms_eval_lvbench, "lmms-eval, tasks/lvbench"),
        "lmms-eval-longvideobench": Prompt(
            _lmms_eval_longvideobench, "lmms-eval, tasks/longvideobench"
        ),
        "bare": Prompt(_bare, "the question and its options, and nothing else"),
    }
)
