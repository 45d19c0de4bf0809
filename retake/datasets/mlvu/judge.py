"""What a judge is asked about a written answer of MLVU, and what its reply says."""

import re
from collections.abc import Mapping, Sequence

from retake.datasets.mlvu import rubrics
from retake.datasets.mlvu.tasks import SUB_SCENE, SUMMARY

#: The two aspects of each writing task: its name here, and in a judge's reply.
ASPECTS: Mapping[str, Mapping[str, str]] = {
    SUB_SCENE: {"accuracy": "score_accuracy", "relevance": "score_relevance"},
    SUMMARY: {"completeness": "score_completeness", "reliability": "score_reliability"},
}
LEAST, MOST = 1.0, 5.0

# A judge ends with a flat dict; what it thinks aloud before may have braces of its own.
_DICT = re.compile(r"\{[^{}]*\}")
_NUMBER = re.compile(r"""["']?([+-]?\d+(?:\.\d*)?)["']?""")


def messages(
    task: str, question: str, answer: str, expected: str, scoring_points: Sequence[str]
) -> list[dict[str, str]]:
    """The two chat messages about an answer, as the official scripts send them.

    Args:
        task: "sub_scene" or "summary".
        question: as the benchmark has it, without any prompt around it.
        answer: what the model said.
        expected: the standard answer; summaries only.
        scoring_points: what a caption should mention; captions only.
    """
    if task == SUB_SCENE:
        system, user = rubrics.SUB_SCENE, rubrics.sub_scene(question, scoring_points, answer)
    else:
        system, user = rubrics.SUMMARY, rubrics.summary(expected, answer)
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def scores(task: str, reply: str) -> dict[str, float]:
    """The aspects that a judge's reply gives, each from 1 to 5.

    The last dict in it counts, as JSON or as Python writes it, whatever stands around. The total
    is not looked at: it is the sum of the two, which judges get wrong or leave out.

    Raises:
        ValueError: there is no such dict, or a score is missing, no number or out of range.
    """
    wanted = ASPECTS[task]
    found = [text for text in _DICT.findall(reply) if any(key in text for key in wanted.values())]
    if not found:
        raise ValueError(f"no dict with {' and '.join(wanted.values())} in it: {_short(reply)}")
    return {aspect: _score(key, found[-1]) for aspect, key in wanted.items()}


def _score(key: str, text: str) -> float:
    # Not by a parser: a judge may leave "4 + 5" for the total, which is of no concern.
    given = re.search(rf"""["']?\b{key}\b["']?\s*:\s*([^,}}\n]*)""", text)
    if given is None:
        raise ValueError(f"{key} is missing: {_short(text)}")
    number = _NUMBER.fullmatch(given[1].strip())
    if number is None:
        raise ValueError(f"{key} must be a number, got {_short(given[1].strip())}")
    value = float(number[1])
    if not LEAST <= value <= MOST:
        raise ValueError(f"{key} must be from {LEAST:g} to {MOST:g}, got {value:g}")
    return value


def _short(text: str) -> str:
    return repr(text if len(text) <= 200 else f"{text[:90]} … {text[-90:]}")
