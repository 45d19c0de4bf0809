"""Which letter a model chose, by the rule of whoever published the number to compare with.

The idea: papers differ by points because their scripts read answers differently. So each script's
reading is a rule of its own, oddities included, and what no letter can be read from is not
guessed at here: a protocol says what becomes of it (`retake.datasets.protocols`).
`docs/datasets/differences.md` says where the rules part.

Sources: for Video-MME thanku-all/parse_answer eval_your_results.py, to which its README points, and
BradyFU/Video-MME evaluation/eval_your_results.py (4e7566d), which was there before; MLVU
evaluation/multiple_choice_evaluation/choice_bench.py, video_chat/choice_bench.py and
Evaluation_Test/test_bench.py of JUNJIE99/MLVU; THUDM/LVBench lvbench/utils/answer_util.py;
SCZwangxiao/video-ReTaKe retake/infer_eval.py; lmms-eval 0.2.4, 0.7.1 and 0.7.3, lmms_eval/tasks.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

import attrs

from retake.core.errors import unknown_name
from retake.datasets.lenient import lenient

#: The letters that options have, in their order.
LETTERS = "ABCDEF"


@attrs.frozen
class Rule:
    """A way of reading the chosen letter from an answer.

    Attributes:
        read: given the answer and the options' texts, the letter or None. The letter may be one
            that no option has: a script that reads it marks it wrong.
        letters: those that it can read at all; where an option has another, it is never chosen.
        source: where it is from.
    """

    read: Callable[[str, Sequence[str]], str | None]
    letters: str
    source: str


def extract(answer: str, rule: str, options: Sequence[str]) -> str | None:
    """The letter chosen in an answer, "A" to "F"; None where the rule reads none.

    Args:
        answer: what the model said, as it said it.
        rule: one of `RULES`.
        options: the texts of the options, without their letters.

    Raises:
        UsageError: there is no such rule.
    """
    if rule not in RULES:
        raise unknown_name("answer extraction", rule, RULES)
    return RULES[rule].read(answer, options)


#: What is taken out of an answer before a letter is looked for.
_PHRASES = (
    "The best answer is",
    "The correct answer is",
    "The answer is",
    "The answer",
    "The best option is",
    "The correct option is",
    "Best answer:",
    "Best option:",
)

#: The same with two commas missing, as Video-MME has it: four phrases become two that nobody says.
_RUN_TOGETHER = (*_PHRASES[:4], _PHRASES[4] + _PHRASES[5], _PHRASES[6] + _PHRASES[7])

#: What Video-MME's present script takes out besides, after those.
_LABELS = ("Answer:", "Option:", "The correct answer", "The correct option")


def _first_capital(
    answer: str, options: Sequence[str], phrases: Sequence[str], letters: str
) -> str | None:
    """The first of some capitals, be it inside a word, once the phrases are taken out.

    The scripts also turn away answers of more than ten words without such a letter; those have
    none to be read, so that this changes nothing.
    """
    text = answer.strip()
    for phrase in phrases:
        text = text.replace(phrase, "")
    found = re.search(f"[{letters}]", text)
    return found[0] if found else None


def _before_bracket(answer: str, options: Sequence[str], trim: bool) -> str | None:
    """All that stands before the first ")", if that is one letter.

    The prompt ended with "(": of a model that writes it once more nothing is read.
    """
    text = answer.strip().split(")")[0]
    return _one_letter(text.strip() if trim else text)


def _at_bracket(answer: str, options: Sequence[str]) -> str | None:
    """The character before the first ")"; without one the whole answer, if it is one letter.

    "B", "B) a dog" and "(B) a dog" are read, "B." and "The answer is B" are not.
    """
    text = answer.strip()
    head, bracket, _ = text.partition(")")
    return _one_letter(head[-1:] if bracket else text)


def _first_character(answer: str, options: Sequence[str]) -> str | None:
    """The first character after the first "(" that comes before a ")"; else that of the answer."""
    text = answer.strip().split(")")[0].strip()
    if "(" in text:
        text = text.split("(")[1].strip()
    return _one_letter(text.split(" ")[0][:1])


def _one_letter(text: str) -> str | None:
    return text if len(text) == 1 and text in LETTERS else None


#: How letters are written, and how much that is trusted: the highest rank wins.
_FORMS = (("({})", 6), ("{}.", 5), ("{}:", 4), ("{})", 3), ("{} ", 2))
_START, _END, _AFTER_PHRASE, _ANYWHERE = 10, 9, 7, 0

#: Spoken before a choice, in lower case. Of each only its first place in an answer counts, so that
#: a longer one is not idle beside the shorter one in it.
_CUES = (
    *(f"{the}{best}answer is" for the in ("", "the ") for best in ("", "correct ", "best ")),
    *(f"{the}{best}option is" for the in ("", "the ") for best in ("correct ", "best ")),
    *(f"{the}{best}choice is" for the in ("", "the ") for best in ("", "correct ")),
    *("my answer is", "my choice is", "i choose", "i select", "i pick"),
    *("옵션", "정답은", "답은", "답:", "答案是", "答案为", "选", "答えは"),
)


def _ranked(answer: str, options: Sequence[str], letters: str) -> str | None:
    """The letter in the most trusted form, and of several in one form the last.

    After a phrase each letter's first occurrence counts, inside words too, and the one furthest
    on wins: of "answer is B. A dog" that is A.
    """
    text = answer.strip()
    for mark in ",.!?;:'\"":
        text = text.strip(mark)
    inner, text = text.strip(), f" {text} "
    found = [
        (rank, text.rfind(form.format(letter)), letter)
        for form, rank in _FORMS
        for letter in letters
    ]
    for cue in _CUES:
        at = text.lower().find(cue)
        if at >= 0:
            found += [
                (_AFTER_PHRASE, text.find(letter, at + len(cue)), letter) for letter in letters
            ]
    if inner[:1] in letters and not inner[1:2].isalpha():
        found.append((_START, 0, inner[:1]))
    if inner[-1:] in letters and not inner[-2:-1].isalpha():
        found.append((_END, 0, inner[-1:]))
    found = [one for one in found if one[1] >= 0 and one[2]]
    if not found:
        found = [(_ANYWHERE, text.rfind(letter), letter) for letter in letters if letter in text]
    return max(found)[2] if found else None


def _bracketed_or_last(answer: str, options: Sequence[str]) -> str | None:
    """MMMU's reading (arXiv 2311.16502): letters in brackets, else before a space, else a stop.

    Of several the one that comes last; where there is none, options whose text is in the answer.
    """
    text = answer
    for mark in ",.!?;:'":
        text = text.strip(mark)
    text = f" {text} "
    letters = LETTERS[: len(options)]
    for form, place in (("({})", "({})"), ("{} ", " {} "), ("{}.", " {} ")):
        found = [letter for letter in letters if form.format(letter) in text]
        if found:
            return max(found, key=lambda letter: text.rfind(place.format(letter)))
    if len(text.split()) <= 5:
        return None
    said = text.lower()
    places = {
        letter: said.rfind(option.lower()) for letter, option in zip(letters, options, strict=False)
    }
    found = [letter for letter, place in places.items() if place >= 0]
    return max(found, key=lambda letter: places[letter]) if found else None


_VIDEOMME_2024 = partial(_first_capital, phrases=_RUN_TOGETHER, letters="ABCD")
_LMMS_EVAL_071 = Rule(_VIDEOMME_2024, "ABCD", "lmms-eval to 0.7.1, tasks/videomme, lvbench")
_MLVU = Rule(
    _at_bracket,
    LETTERS,
    "MLVU, evaluation/multiple_choice_evaluation/choice_bench.py; lmms-eval to 0.7.1",
)
_LONGVIDEOBENCH = Rule(
    partial(_first_capital, phrases=_PHRASES, letters="ABCDE"),
    "ABCDE",
    "lmms-eval since 0.3.0, tasks/longvideobench/utils.py, after the benchmark's author",
)
_LMMS_EVAL = Rule(
    partial(_ranked, letters="ABCD"),
    "ABCD",
    "lmms-eval since 0.7.2, tasks/_task_utils/mcq_extract.py",
)

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "videomme": Rule(
            partial(_first_capital, phrases=(*_RUN_TOGETHER, *_LABELS), letters="ABCD"),
            "ABCD",
            "Video-MME, thanku-all/parse_answer eval_your_results.py",
        ),
        "videomme-2024": Rule(
            _VIDEOMME_2024, "ABCD", "Video-MME, evaluation/eval_your_results.py at 4e7566d"
        ),
        "mlvu": _MLVU,
        "mlvu-videochat": Rule(
            partial(_before_bracket, trim=False), LETTERS, "MLVU, video_chat/choice_bench.py"
        ),
        "mlvu-test": Rule(
            partial(_before_bracket, trim=True), LETTERS, "MLVU, Evaluation_Test/test_bench.py"
        ),
        "lvbench": Rule(_first_character, LETTERS, "LVBench, lvbench/utils/answer_util.py"),
        "longvideobench": _LONGVIDEOBENCH,
        "retake": Rule(
            partial(_first_capital, phrases=_PHRASES, letters="ABCD"),
            "ABCD",
            "video-ReTaKe, retake/infer_eval.py",
        ),
        "lmms-eval-videomme": _LMMS_EVAL,
        "lmms-eval-mlvu": _LMMS_EVAL,
        "lmms-eval-lvbench": _LMMS_EVAL,
        "lmms-eval-longvideobench": _LONGVIDEOBENCH,
        "lmms-eval-0.7.1-videomme": _LMMS_EVAL_071,
        "lmms-eval-0.7.1-mlvu": _MLVU,
        "lmms-eval-0.7.1-lvbench": _LMMS_EVAL_071,
        "lmms-eval-0.2.4-longvideobench": Rule(
            _bracketed_or_last, LETTERS, "lmms-eval to 0.2.4, tasks/longvideobench/utils.py"
        ),
        "lenient": Rule(lenient, LETTERS, "ours, retake/datasets/lenient.py"),
    }
)
