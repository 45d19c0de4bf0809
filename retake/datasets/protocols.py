"""How a benchmark is asked, read, marked and averaged, by whoever published the numbers.

The idea: the same answers give different numbers under the official script, the published ReTaKe
and lmms-eval. All are here by name, each part of them can be exchanged on its own, and
`docs/datasets/differences.md` says what changes. A guess is drawn from the sample's id and a
seed, so that it is the same in every run.

Sources: as in `retake.datasets.extraction` and `retake.datasets.prompts`.
"""

import hashlib
from collections.abc import Collection, Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import attrs

from retake.core.benchmark import Marked, Sample
from retake.core.errors import UsageError, unknown_name
from retake.datasets.extraction import LETTERS, RULES, extract
from retake.datasets.prompts import PROMPTS, phrased

Unparsed = Literal["wrong", "left-out", "guess"]

#: What becomes of answers in which no letter is read.
UNPARSED: tuple[Unparsed, ...] = ("wrong", "left-out", "guess")

#: Averages: over questions, or the mean of the accuracies of durations or of tasks.
AVERAGES = ("questions", "durations", "tasks")

#: Benchmarks whose videos belong to durations.
_WITH_DURATIONS = ("videomme", "longvideobench")


@attrs.frozen
class Protocol:
    """How a multiple-choice benchmark is asked, read, marked and averaged.

    Attributes:
        prompt: one of `retake.datasets.prompts.PROMPTS`.
        extraction: one of `retake.datasets.extraction.RULES`.
        unparsed: an answer without a letter is "wrong", "left-out" of what is averaged, or a
            "guess" among the options.
        average: over "questions"; or the mean over "durations" (the group "duration") or "tasks"
            (the kinds).
    """

    prompt: str
    extraction: str
    unparsed: Unparsed
    average: str

    def ask(self, question: str, options: Sequence[str], subtitles: str | None = None) -> str:
        """The question as the model is asked it; see `retake.datasets.prompts.phrased`."""
        return phrased(self.prompt, question, options, subtitles)

    @property
    def silent(self) -> str:
        """What stands in place of the subtitles that a video does not have."""
        return PROMPTS[self.prompt].silent

    def read(self, answer: str, options: Sequence[str]) -> str | None:
        """The letter in an answer; see `retake.datasets.extraction.extract`."""
        return extract(answer, self.extraction, options)

    def mark(self, sample: Sample, answer: str, seed: int = 0) -> float | None:
        """How right an answer is; see `marked_choice`."""
        return marked_choice(sample, self.read(answer, sample.options), self.unparsed, seed)

    def averaged(self, marked: Sequence[Marked]) -> float | None:
        """The headline figure, 0 … 1; None where nothing counts."""
        return averaged(marked, self.average)


PROTOCOLS: Mapping[str, Mapping[str, Protocol]] = MappingProxyType(
    {
        "videomme": {
            "official": Protocol("videomme", "videomme", "left-out", "questions"),
            "official-2024": Protocol("videomme", "videomme-2024", "left-out", "questions"),
            "retake": Protocol("retake-videomme", "retake", "wrong", "durations"),
            "lmms-eval": Protocol("lmms-eval-videomme", "lmms-eval-videomme", "wrong", "questions"),
            "lmms-eval-0.7.1": Protocol(
                "lmms-eval-videomme", "lmms-eval-0.7.1-videomme", "wrong", "questions"
            ),
        },
        "mlvu": {
            "official": Protocol("mlvu", "mlvu", "wrong", "tasks"),
            "retake": Protocol("retake-mlvu", "retake", "wrong", "tasks"),
            "lmms-eval": Protocol("lmms-eval-mlvu", "lmms-eval-mlvu", "wrong", "tasks"),
            "lmms-eval-0.7.1": Protocol("lmms-eval-mlvu", "lmms-eval-0.7.1-mlvu", "wrong", "tasks"),
        },
        "mlvu-test": {
            "official": Protocol("mlvu", "mlvu-test", "wrong", "tasks"),
            "lmms-eval": Protocol("bare", "lmms-eval-mlvu", "wrong", "tasks"),
            "lmms-eval-0.7.1": Protocol("bare", "lmms-eval-0.7.1-mlvu", "wrong", "tasks"),
        },
        "lvbench": {
            "official": Protocol("lvbench", "lvbench", "wrong", "questions"),
            "retake": Protocol("retake-lvbench", "retake", "wrong", "questions"),
            "lmms-eval": Protocol("lmms-eval-lvbench", "lmms-eval-lvbench", "wrong", "questions"),
            "lmms-eval-0.7.1": Protocol(
                "lmms-eval-lvbench", "lmms-eval-0.7.1-lvbench", "wrong", "questions"
            ),
        },
        "longvideobench": {
            "official": Protocol("longvideobench", "longvideobench", "guess", "questions"),
            "lmms-eval": Protocol(
                "lmms-eval-longvideobench", "lmms-eval-longvideobench", "guess", "questions"
            ),
            "lmms-eval-0.2.4": Protocol(
                "lmms-eval-longvideobench", "lmms-eval-0.2.4-longvideobench", "guess", "questions"
            ),
        },
    }
)


def resolve(
    benchmark: str,
    protocol: str = "official",
    *,
    prompt: str | None = None,
    extraction: str | None = None,
    unparsed: str | None = None,
    average: str | None = None,
) -> Protocol:
    """A benchmark's protocol by name, with what is given in place of its own.

    Args:
        benchmark: one of `PROTOCOLS`.
        protocol: one of those of the benchmark.
        prompt, extraction, unparsed, average: None to leave the protocol's own.

    Raises:
        UsageError: a name that there is not; it says which there are.
    """
    known = PROTOCOLS[benchmark]
    if not _is_among(protocol, known):
        raise _no_protocol(benchmark, protocol)
    given = {"prompt": prompt, "extraction": extraction, "unparsed": unparsed, "average": average}
    allowed: dict[str, Collection[str]] = {
        "prompt": PROMPTS,
        "extraction": RULES,
        "unparsed": UNPARSED,
        "average": averages_of(benchmark),
    }
    changes: dict[str, Any] = {option: name for option, name in given.items() if name is not None}
    for option, name in changes.items():
        if not _is_among(name, allowed[option]):
            raise unknown_name(f"{option} of {benchmark}", str(name), allowed[option])
    return attrs.evolve(known[protocol], **changes)


def averages_of(benchmark: str) -> Sequence[str]:
    """The averages that can be made of a benchmark: durations only where videos belong to one."""
    return [name for name in AVERAGES if name != "durations" or benchmark in _WITH_DURATIONS]


def _is_among(name: Any, names: Collection[str]) -> bool:
    """Whether it is one of the names; an option may be given as anything."""
    return isinstance(name, str) and name in names


def _no_protocol(benchmark: str, protocol: Any) -> UsageError:
    """The error for a protocol of others, or of nobody."""
    known = PROTOCOLS[benchmark]
    if not any(_is_among(protocol, others) for others in PROTOCOLS.values()):
        return unknown_name(f"protocol of {benchmark}", str(protocol), known)
    return UsageError(
        f"There is no protocol '{protocol}' for {benchmark}: its source has none.",
        hint=f"There is: {', '.join(known)}. Take one of those, and change its prompt, "
        "extraction, unparsed or average where that is wanted.",
    )


def marked_choice(
    sample: Sample, letter: str | None, unparsed: Unparsed, seed: int = 0
) -> float | None:
    """1 where the letter is the right one, else 0.

    None where the truth is hidden, or where no letter was read and such answers are left out.

    Args:
        sample: its `answer` is the right letter, its `options` are what can be guessed.
        letter: what was read from the model's answer.
        unparsed: what becomes of a letter that is None.
        seed: of the guesses; one sample and one seed always guess the same.
    """
    if sample.answer is None:
        return None
    if letter is None and unparsed == "left-out":
        return None
    if letter is None and unparsed == "guess":
        letter = guessed(sample, seed)
    return float(letter == sample.answer)


def guessed(sample: Sample, seed: int = 0) -> str:
    """One of the options' letters, each as likely as the others, by id and seed alone."""
    drawn = hashlib.sha256(f"{seed}\n{sample.id}".encode()).digest()
    return LETTERS[int.from_bytes(drawn) % len(sample.options)]


def averaged(marked: Sequence[Marked], average: str) -> float | None:
    """The average of the scores that are known, 0 … 1; None where none is.

    Args:
        average: one of `AVERAGES`.

    Raises:
        UsageError: there is no such average.
    """
    if average not in AVERAGES:
        raise unknown_name("average", average, AVERAGES)
    scores: dict[Hashable, list[float]] = {}
    for one in marked:
        if one.score is not None:
            scores.setdefault(_part(one, average), []).append(one.score)
    if not scores:
        return None
    return sum(sum(some) / len(some) for some in scores.values()) / len(scores)


def _part(one: Marked, average: str) -> Hashable:
    """What an answer is averaged with before the averages are."""
    if average == "durations":
        return one.groups.get("duration")
    return one.kind if average == "tasks" else None
