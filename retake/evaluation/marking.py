"""What a benchmark says, checked where it is said: days of answers must be readable in the end."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from retake.core.benchmark import Benchmark, Sample
from retake.core.errors import UsageError, blame


def check_sample(sample: Any, benchmark: str) -> None:
    """Refuse what is not as `Sample` says.

    Raises:
        UsageError: the benchmark, the sample and the field are named.
    """
    if not isinstance(sample, Sample):
        raise UsageError(f"{benchmark}.samples() must return retake.Sample, got {sample!r:.80}.")
    for name in ("id", "question", "answer", "kind"):
        value = getattr(sample, name)
        if name == "answer" and value is None:
            continue
        if not isinstance(value, str) or (name in ("id", "question") and not value.strip()):
            raise _wrong(sample, benchmark, name, "text", value)
    if not isinstance(sample.video, str | Path):
        raise _wrong(sample, benchmark, "video", "a path", sample.video)
    if isinstance(sample.options, str) or not all(isinstance(each, str) for each in sample.options):
        raise _wrong(sample, benchmark, "options", "several texts", sample.options)
    for group, value in sample.groups.items():
        if not isinstance(group, str) or not _is_group(value):
            wanted = "text, a number, or a tuple of texts"
            raise _wrong(sample, benchmark, f"groups['{group}']", wanted, value)
    if not _is_number(sample.chance) or not 0 <= sample.chance <= 1:
        raise _wrong(sample, benchmark, "chance", "a number from 0 to 1", sample.chance)
    if sample.seconds is not None and not (_is_number(sample.seconds) and sample.seconds >= 0):
        raise _wrong(sample, benchmark, "seconds", "a number from 0, or None", sample.seconds)


def prompt_of(benchmark: Benchmark, sample: Sample, times: Sequence[float]) -> str:
    """A sample's question as the model is asked it.

    Args:
        times: of the sampled frames, in seconds.

    Raises:
        UsageError: that is no text.
    """
    with blame(benchmark, "phrase"):
        question = benchmark.phrase(sample, times)
    if not isinstance(question, str) or not question.strip():
        raise UsageError(
            f"{type(benchmark).__name__}.phrase() must return text, but returned {question!r:.80} "
            f"for the sample '{sample.id}'."
        )
    return question


def parsed(benchmark: Benchmark, sample: Sample, answer: str) -> str | None:
    """What a benchmark takes for the answer in what a model said.

    Raises:
        UsageError: that is neither text nor None.
    """
    with blame(benchmark, "parse"):
        found = benchmark.parse(sample, answer)
    if found is not None and not isinstance(found, str):
        raise UsageError(
            f"{type(benchmark).__name__}.parse() must return text or None, but returned "
            f"{found!r:.80} for the sample '{sample.id}'."
        )
    return found


def marked(benchmark: Benchmark, sample: Sample, answer: str) -> float | None:
    """How right an answer is, by the benchmark's word; None where it cannot say.

    Raises:
        UsageError: that is neither None nor between 0 and 1.
    """
    with blame(benchmark, "mark"):
        score = benchmark.mark(sample, answer)
    if score is None:
        return None
    if not isinstance(score, bool | int | float) or not 0 <= score <= 1:
        raise UsageError(
            f"{type(benchmark).__name__}.mark() must return a number from 0 to 1, but returned "
            f"{score!r} for the sample '{sample.id}'."
        )
    return float(score)


def _is_group(value: Any) -> bool:
    several = isinstance(value, tuple) and all(isinstance(each, str) for each in value)
    return isinstance(value, str) or several or _is_number(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _wrong(sample: Sample, benchmark: str, field: str, wanted: str, value: Any) -> UsageError:
    return UsageError(
        f"{benchmark} has a sample whose {field} must be {wanted}, got {value!r:.80} "
        f"(id {sample.id!r:.80})."
    )
