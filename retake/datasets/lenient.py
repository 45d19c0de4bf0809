"""Reads the chosen letter in any common wording, and reads none where two could be meant.

The idea: what an answer declares counts before what it looks like. In this order:

1. the last box (LaTeX) or answer tag, and nothing outside of it;
2. an answer that is one option's text, word for word;
3. the last declaration: "the answer is B", "I choose (b)", "B is correct", "答案是B";
4. a letter that begins the answer as a label: "B. a dog", "(B)", "B because …";
5. the only letter that is mentioned as an option: "option B", "(B)", or at the very end.

Where another letter stands beside the one found ("A or C"), where labels differ ("A. red,
B. blue") or where a letter is only ruled out ("not option B"), none is read. An "A" that is an
article is no letter, and what is thought aloud in think tags is not part of the answer.
"""

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise

import attrs

_LETTERS = "ABCDEF"

#: How far from a letter, in characters, something is said of it.
_NEAR = 100

_THOUGHT = re.compile(r"^.*</think>|<think>.*", re.DOTALL)
_TAG = re.compile(r"<answer>", re.IGNORECASE)
_END_TAG = re.compile(r"</answer>", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_LATEX = re.compile(r"\\(?:text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}")
_DRESS = re.compile(r"<\|[^<>|]*\|>|</?s>|[*`$\"“”#]|(?<!\w)[_'‘]+|[_'’]+(?!\w)")

_SPACE = re.compile(r"[^\S\n]+")

_INTRODUCED = re.compile(
    r"^(?:the\s+)?(?:(?:best|correct|final)\s+)?(?:answer|option)(?:\s+is\b)?\s*:?\s+",
    re.IGNORECASE,
)

#: A letter that is no part of a word, a name or a unit; a CJK character may follow at once.
_ALONE = re.compile(
    r"(?<![A-Za-z0-9\u00c0-\u024f'’°])(?<![A-Za-z0-9][-.])([A-Fa-f])"
    r"(?![A-Za-z0-9\u00c0-\u024f'’+#]|[-.][A-Za-z0-9])"
)
_OPENED = r"\s*[(\[]?\s*$"
_NAMED = (
    r"(?:\s+(?:the|la|le|el|die))?(?:\s*\b(?:letter|option|choice|answer|opción|lettre|letra)\b\s*:?)?"
    + _OPENED
)
_DECLARED = re.compile(
    r"(?:\b(?:answer|option|choice)\b(?:[^.:!?\n]{0,40}?\b(?:is|was|would be|must be|should be)\b"
    r"|\s*[:=–—-]|\s+is\s*:)\s*:?(?:\s*(?:most likely|likely|probably|definitely|clearly))?"
    r"|(?:^|\bI(?:'d|'ll|'m|\s+would|\s+will|\s+am)?\s+)(?:choos(?:e|ing)|chose|pick(?:ing)?"
    r"|select(?:ing)?|say|go(?:ing)?\s+with|opt(?:ing)?\s+for)"
    r"|答案(?:是|为|為|应该是|應該是)?\s*:?|(?:选择|選擇|选|選)|(?:答え|正解)は|정답은|(?:정답|답)\s*:|답은"
    r"|réponse(?: correcte)? est|respuesta(?: correcta)? es|resposta(?: correta)? é"
    r"|antwort(?: ist| lautet|\s*:)|risposta(?: corretta)? è|ответ\s*[:—-]?"
    r"|đáp án(?: đúng)?(?: là|\s*:))" + _NAMED,
    re.IGNORECASE,
)
_IS_RIGHT = re.compile(
    r"\s*(?:is|would be|seems)\s+(?:the\s+)?(?:most\s+)?(?:correct|right|best|answer|accurate)\b",
    re.IGNORECASE,
)
_AS_OPTION = re.compile(
    r"(?:\b(?:option|choice|letter|answer)|选项|選項|選択肢)" + _OPENED, re.IGNORECASE
)
_LEADS_TO_END = re.compile(
    r"(?:[,:;。\n]|(?<!\d)\.|\b(?:be|is|it's|so|but|think|believe|guess|say|thus|therefore|hence|with|that|maybe"
    r"|perhaps|probably))\s*$",
    re.IGNORECASE,
)
_RULED_OUT = re.compile(
    r"(?:\bnot|n't|\bneither|\bnor|\bexcept|\bthan|\binstead of|\brul(?:e|es|ed|ing) out"
    r"|\beliminat(?:e|es|ed|ing)|\bexclud(?:e|es|ed|ing))(?:\s+(?:option|choice))?" + _OPENED,
    re.IGNORECASE,
)
_IS_WRONG = re.compile(
    r"\s*(?:is|are|was|can|could|does|do|would)?\s*(?:n't|not\b|cannot\b|wrong\b|incorrect\b"
    r"|false\b|ruled out\b|eliminated\b)",
    re.IGNORECASE,
)
_ARE = re.compile(r"\s*(?:are|were)\b")
_LABEL_START = re.compile(r"\s*(?:[-•]\s+)?(?:option\s+|choice\s+)?[(\[]?\s*", re.IGNORECASE)
_LABEL_END = re.compile(r"\s*(?:[.):,;!?。]|[-–—=]\s|$|\n)")
#: What follows a letter that begins an answer and is given reasons for.
_REASON = re.compile(r"[ \t]+(?:[-–—=(]|(?:because|since|as|due|based)\b)")
#: What follows the letter A, where an article is followed by other words.
_VERB = re.compile(r"[ \t]+(?:and|or|but|is|are|was|would|seems|which)\b")
_BETWEEN = re.compile(
    r"\s*[.)\]]?\s*(?:,(?:\s*(?:and|or)\b)?|/|&|\bor\b|\band\b|或|和)\s*"
    r"(?:(?:maybe|perhaps|possibly|even)\s+)?(?:option\s+)?[(\[]?\s*",
    re.IGNORECASE,
)


def lenient(answer: str, options: Sequence[str]) -> str | None:
    """The letter chosen; None where none is, or where it may be one of several.

    Args:
        answer: what the model said.
        options: the texts of the options; without them any of A to F may be chosen.
    """
    letter = _chosen(unicodedata.normalize("NFKC", answer), options)
    return letter if letter is None or not options or letter in _LETTERS[: len(options)] else None


@attrs.frozen
class _Letter:
    """A letter by itself in a text, and what is said of it there."""

    text: str
    start: int
    end: int

    @property
    def name(self) -> str:
        return self.text[self.start].upper()

    def follows(self, pattern: "re.Pattern[str]") -> bool:
        """Whether what comes right before it is of a pattern, which ends with the text."""
        return pattern.search(self.text, max(0, self.start - _NEAR), self.start) is not None

    @property
    def after(self) -> str:
        """What follows soon, without the bracket that closes around the letter."""
        after = self.text[self.end : self.end + _NEAR]
        return re.sub(r"^\s*[)\]]", "", after) if self.bracketed else after

    @property
    def bracketed(self) -> bool:
        before = self.text[max(0, self.start - _NEAR) : self.start].rstrip()
        after = self.text[self.end : self.end + _NEAR].lstrip()
        return before[-1:] + after[:1] in ("()", "[]")

    @property
    def is_article(self) -> bool:
        """Whether it is an "a" before a noun; after a declaration only the small one is."""
        reads_on = _REASON.match(self.after) or _VERB.match(self.after)
        if self.name != "A" or self.bracketed or reads_on:
            return False
        is_followed = re.match(r"[ \t]+\w", self.after) is not None
        return is_followed and (self.text[self.start] == "a" or not self.follows(_DECLARED))

    @property
    def is_ruled_out(self) -> bool:
        return self.follows(_RULED_OUT) or bool(_IS_WRONG.match(self.after))

    @property
    def is_declared(self) -> bool:
        return self.follows(_DECLARED) or bool(_IS_RIGHT.match(self.after))

    @property
    def is_first(self) -> bool:
        """Whether nothing comes before it but its bracket or the word "option"."""
        return _LABEL_START.fullmatch(self.text, 0, self.start) is not None

    @property
    def is_label(self) -> bool:
        """Whether a line begins with it as with an option's letter."""
        line = self.text.rfind("\n", 0, self.start) + 1
        if not _LABEL_START.fullmatch(self.text, line, self.start):
            return False
        is_capital = self.text[self.start].isupper()
        goes_on = is_capital and bool(_REASON.match(self.after))
        return self.bracketed or goes_on or bool(_LABEL_END.match(self.after))

    @property
    def is_inner_label(self) -> bool:
        """Whether it stands within a line as the letter of an option: "… B. blue C. red"."""
        is_marked = re.match(r"[.):]\s+\w", self.text[self.end :]) is not None
        return self.text[self.start].isupper() and (self.bracketed or is_marked)

    @property
    def is_mention(self) -> bool:
        is_last = re.fullmatch(r"\s*[.!]?\s*", self.text[self.end :]) or _REASON.match(self.after)
        is_closing = self.text[self.start].isupper() and is_last and self.follows(_LEADS_TO_END)
        return self.bracketed or self.follows(_AS_OPTION) or bool(is_closing)


def _chosen(text: str, options: Sequence[str]) -> str | None:
    text = _final(_LATEX.sub(r"\1", _THOUGHT.sub("", text)))
    text = _SPACE.sub(" ", _DRESS.sub("", text)).strip()
    same = None if _ALONE.fullmatch(text) else _with_text(text, options)
    if same:
        return same
    letters = [_Letter(text, *match.span(1)) for match in _ALONE.finditer(text)]
    letters = _not_ruled_out([letter for letter in letters if not letter.is_article])
    paired = {letter for pair in _pairs(letters) for letter in pair}
    declared = [letter for letter in letters if letter.is_declared]
    if declared:
        return None if declared[-1] in paired else declared[-1].name
    if letters and letters[0].is_first and letters[0].is_label:
        found = [one for one in letters if one.is_label or one.is_inner_label]
    else:
        found = [one for one in letters if one.is_label or one.is_mention]
    names = {letter.name for letter in found}
    return names.pop() if len(names) == 1 and not paired.intersection(found) else None


def _final(text: str) -> str:
    """What is in the last box, or else in the last answer tag; without either the whole."""
    boxes = _BOXED.findall(text)
    if not boxes:
        return _END_TAG.split(_TAG.split(text)[-1])[0]
    while boxes:
        text = boxes[-1]
        boxes = _BOXED.findall(text)
    return text


def _pairs(letters: Sequence[_Letter]) -> list[tuple[_Letter, _Letter]]:
    """Neighbours that are named together: "A or C", "A, B and D"."""
    return [
        (one, following)
        for one, following in pairwise(letters)
        if following.start - one.end < _NEAR
        and _BETWEEN.fullmatch(one.text, one.end, following.start)
    ]


def _not_ruled_out(letters: Sequence[_Letter]) -> list[_Letter]:
    """The letters that may be chosen; "not A or B" and "A and B are wrong" rule out both."""
    ruled_out = {letter for letter in letters if letter.is_ruled_out}
    several = {letter for letter in ruled_out if _ARE.match(letter.after)}
    pairs = _pairs(letters)
    for one, following in pairs:
        if one in ruled_out and not following.is_declared:
            ruled_out.add(following)
    for one, following in reversed(pairs):
        if following in several:
            several.add(one)
    return [letter for letter in letters if letter not in ruled_out | several]


def _with_text(text: str, options: Sequence[str]) -> str | None:
    """The letter of the one option that reads as the answer does; None where none or several."""
    said = _INTRODUCED.sub("", text).strip(" .").casefold()
    same = [
        letter
        for letter, option in zip(_LETTERS, options, strict=False)
        if said == option.strip(" .").casefold()
    ]
    return same[0] if len(same) == 1 else None
