"""Reads the chosen letter in any common wording, and reads none where two could be meant.

The idea: where an answer says which letter it gives ("the answer is B", "\\boxed{B}"), the last
such saying counts; else a letter that begins the answer as a label ("B. a dog"); else the only
letter that stands in brackets or closes the answer. An answer that is word for word the text of
one option chooses that. An article or an initial is not a letter chosen, nor is one ruled out.
"""

import re
import unicodedata
from collections.abc import Sequence

_LETTERS = "ABCDEF"

#: A letter by itself, in brackets or not.
_LETTER = r"(?:\(\s*([A-Fa-f])\s*\)|\[\s*([A-Fa-f])\s*\]|([A-Fa-f])(?![\w'’]))"

_SAID = re.compile(
    r"(?:(?:answer|option|choice|letter|select|choose|pick|go with|going with|would be|must be)"
    r"(?:\s+(?:is|was|would be|must be|should be|letter|option|choice))*"
    r"|答案(?:是|为|應該是|应该是)?|选择?|選擇?|答えは|正解は|정답은|답은"
    r"|réponse est|respuesta es|antwort ist)"
    rf"\s*[:=]?\s*(?:option\s+)?(?<![\w'’]){_LETTER}",
    re.IGNORECASE,
)
_LABEL = re.compile(r"^\s*(?:\(\s*([A-Fa-f])\s*\)|([A-Fa-f])(?:[).:,]|\s*$))", re.MULTILINE)
_BRACKETED = re.compile(r"[(\[]\s*([A-Fa-f])\s*[)\]]")
_CLOSING = re.compile(r"(?<![\w'’])([A-F])[.!]?\s*$")
_SECOND = re.compile(
    rf"\s*[).\]]?\s*(?:,|/|&|\bor\b|\band\b)\s*(?:option\s+)?{_LETTER}", re.IGNORECASE
)
_BOXED = re.compile(
    r"\\boxed\s*\{\s*(?:\\(?:text|mathrm|mathbf)\s*\{\s*)?\(?\s*([A-Fa-f])\s*\)?\s*\}"
)
_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)
_TAGS = re.compile(r"</?answer>|[*`$_]")


def lenient(answer: str, options: Sequence[str]) -> str | None:
    """The letter chosen; None where none is, or where it may be one of several.

    Args:
        answer: what the model said.
        options: the texts of the options; without them any of A to F may be chosen.
    """
    letters = _LETTERS[: len(options)] if options else _LETTERS
    text = unicodedata.normalize("NFKC", _THOUGHT.sub("", answer)).strip()
    boxed = _BOXED.findall(text)
    if boxed:
        return _offered(boxed[-1], letters)
    text = _TAGS.sub("", text).strip()
    said = list(_SAID.finditer(text))
    if said:
        if _SECOND.match(text, said[-1].end()):
            return None
        return _offered(_of(said[-1]), letters)
    labels = list(_LABEL.finditer(text))
    if labels and labels[0].start() == 0:
        if _SECOND.match(text, labels[0].end()) or len({_of(one).upper() for one in labels}) > 1:
            return None
        return _offered(_of(labels[0]), letters)
    found = {letter.upper() for letter in _BRACKETED.findall(text)}
    closing = _CLOSING.search(text)
    if closing:
        found.add(closing[1])
    if len(found) == 1:
        return _offered(found.pop(), letters)
    return _by_text(text, options) if not found else None


def _of(match: "re.Match[str]") -> str:
    return next(group for group in match.groups() if group)


def _offered(letter: str, letters: str) -> str | None:
    return letter.upper() if letter.upper() in letters else None


def _by_text(text: str, options: Sequence[str]) -> str | None:
    same = [
        letter
        for letter, option in zip(_LETTERS, options, strict=False)
        if text.strip(" .").casefold() == option.strip(" .").casefold()
    ]
    return same[0] if len(same) == 1 else None
