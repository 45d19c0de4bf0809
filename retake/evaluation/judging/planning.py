"""What is there to judge: the answers of a run for which the benchmark has a question."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from retake.core.benchmark import Benchmark, Sample
from retake.core.errors import RetakeError, UsageError, blame
from retake.evaluation.judging.records import Judgement, messages_digest, read_judgements
from retake.evaluation.judging.texts import whole
from retake.evaluation.marking import check_sample
from retake.evaluation.records import RunRecords, SampleRecord

Messages = tuple[dict[str, str], ...]


@attrs.frozen
class Case:
    """One answer that a judge is asked about.

    Attributes:
        sample: as the benchmark has it.
        answer: what the model said.
        messages: what the judge is asked.
    """

    sample: Sample
    answer: str
    messages: Messages

    @property
    def characters(self) -> int:
        """Of all messages."""
        return sum(len(message["content"]) for message in self.messages)

    @property
    def messages_sha256(self) -> str:
        """A hash of the messages."""
        return messages_digest(self.messages)


def cases_of(run: RunRecords, benchmark: Benchmark) -> list[Case]:
    """What a judge is to be asked about a run's answers, in the order of answering.

    Args:
        run: complete or not.
        benchmark: the one that it is of.

    Raises:
        UsageError: the benchmark's samples are not those of the run, or it asks judges about
            nothing in a complete run, or in a way that is no chat message.
    """
    by_id = _samples(benchmark)
    asked = [_case(benchmark, _same(by_id.get(each.id), each, run), each) for each in run.samples]
    found = [case for case in asked if case is not None]
    if run.samples and run.complete and not found:
        raise UsageError(
            f"Nothing in '{run.folder}' is for a judge: the benchmark "
            f"'{run.header.benchmark.name}' asks none about the answers that are there.",
            hint="It marks them itself, or what is right is hidden.",
        )
    return found


def unjudged(cases: Sequence[Case], judgements: Mapping[str, Judgement]) -> list[Case]:
    """Those that were not judged yet, or of which the answer or the question changed since."""
    return [
        case
        for case in cases
        if case.sample.id not in judgements or not judgements[case.sample.id].fits(case.messages)
    ]


def standing_judgements(run: RunRecords, benchmark: Benchmark) -> Mapping[str, Judgement]:
    """The judgements of a run that count: those of its answers and the rubric as they are by now.

    What cannot be checked counts: all of them where the benchmark's files are not there, as
    on a machine to which only the run was copied, and those of samples that it has no more.

    Args:
        run: complete or not.
        benchmark: the one that it is of.

    Raises:
        RunFolderError: the judgements are damaged.
    """
    found = read_judgements(run.folder)
    if not found:
        return found
    judged = [record for record in run.samples if record.id in found]
    standing = {record.id: found[record.id] for record in judged}
    try:
        by_id = _samples(benchmark)
        for record in judged:
            if record.id in by_id:
                case = _case(benchmark, by_id[record.id], record)
                if case is None or not found[record.id].fits(case.messages):
                    del standing[record.id]
    except RetakeError:
        return {record.id: found[record.id] for record in judged}
    return standing


def aspects_in(benchmark: Benchmark, sample: Sample, reply: str) -> dict[str, float]:
    """What a judge's reply says, by the benchmark's word.

    Raises:
        ValueError: it cannot be understood.
        UsageError: `judged` returned no numbers by name.
    """
    with blame(benchmark, "judged"):
        try:
            found = benchmark.judged(sample, reply)
        except ValueError as error:
            unclear: ValueError | None = error
        else:
            unclear = None
    if unclear is not None:
        raise unclear
    if (
        not isinstance(found, Mapping)
        or not found
        or not all(isinstance(name, str) and _is_number(value) for name, value in found.items())
    ):
        raise UsageError(
            f"{type(benchmark).__name__}.judged() must return numbers by aspect, but returned "
            f"{found!r:.80} for the sample '{sample.id}'."
        )
    return {name: float(value) for name, value in found.items()}


def _samples(benchmark: Benchmark) -> dict[str, Sample]:
    """A benchmark's samples, by id."""
    with blame(benchmark, "samples"):
        samples = list(benchmark.samples())
    for sample in samples:
        check_sample(sample, type(benchmark).__name__)
    return {sample.id: sample for sample in samples}


def _case(benchmark: Benchmark, sample: Sample, record: SampleRecord) -> Case | None:
    """What a judge is to be asked about an answer; None where it is not for one."""
    with blame(benchmark, "judging"):
        asked = benchmark.judging(sample, record.answer)
    if asked is None:
        return None
    return Case(sample, record.answer, _messages(asked, benchmark, sample))


def _same(sample: Sample | None, record: SampleRecord, run: RunRecords) -> Sample:
    """The sample that was answered, if it is what it was."""
    if sample is None:
        wrong = f"has no sample '{record.id}', which the run has answered"
    elif (sample.kind, sample.answer, tuple(sample.options)) != (
        record.kind,
        record.expected,
        record.options,
    ):
        wrong = f"has another sample '{record.id}' by now: its kind, options or answer changed"
    else:
        return sample
    raise UsageError(
        f"The run '{run.folder}' cannot be judged: the benchmark "
        f"'{run.header.benchmark.name}' {wrong}.",
        hint="Judge with the benchmark's files and options that the run was made with.",
    )


def _messages(asked: Any, benchmark: Benchmark, sample: Sample) -> Messages:
    """What `judging` returned, checked and made plain."""
    good = isinstance(asked, Sequence) and not isinstance(asked, str) and len(asked) > 0
    if good:
        good = all(
            isinstance(each, Mapping)
            and {*each} == {"role", "content"}
            and all(isinstance(value, str) for value in each.values())
            for each in asked
        )
    if not good:
        raise UsageError(
            f"{type(benchmark).__name__}.judging() must return messages of 'role' and 'content', "
            f"or None, but returned {asked!r:.80} for the sample '{sample.id}'."
        )
    return tuple({"role": each["role"], "content": whole(each["content"])} for each in asked)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
