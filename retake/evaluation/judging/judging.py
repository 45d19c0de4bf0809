"""Judging a run: what is left of it is asked, and it is said what that came to."""

import asyncio
import os
from collections.abc import Mapping

import attrs

from retake.core.benchmark import Benchmark
from retake.core.options import at_least, positive
from retake.evaluation.judging.asking import Asking
from retake.evaluation.judging.cache import Cache, key_of
from retake.evaluation.judging.endpoint import BASE_URL, Endpoint, host_of
from retake.evaluation.judging.folder import JudgeFolder, check_judge
from retake.evaluation.judging.planning import Case, cases_of, unjudged
from retake.evaluation.judging.records import (
    Judge,
    JudgeFailure,
    Judgement,
    read_judge_failures,
    read_judgements,
)
from retake.evaluation.judging.secret import VARIABLE, key_from
from retake.evaluation.judging.tally import Listener, Tally
from retake.evaluation.judging.waiting import Patience
from retake.evaluation.records import RunRecords

_NOTHING_YET = "Nothing that is answered so far is for a judge."


@attrs.frozen
class Asked:
    """Where and how a judge is asked, none of which changes what it says.

    Attributes:
        base_url: of an OpenAI-compatible endpoint, without "/chat/completions".
        key_variable: the variable of the environment that holds its key.
        timeout: seconds for a request.
        concurrency: requests under way at a time, at most.
        patience: with what goes wrong.
    """

    base_url: str = BASE_URL
    key_variable: str = VARIABLE
    timeout: float = attrs.field(default=120.0, validator=positive)
    concurrency: int = attrs.field(default=4, validator=at_least(1))
    patience: Patience = attrs.field(factory=Patience)

    @property
    def host(self) -> str:
        """Of the endpoint.

        Raises:
            UsageError: the address is wrong.
        """
        return host_of(self.base_url)


@attrs.frozen
class Judged:
    """A run's judgements as they stand.

    Attributes:
        cases: how many of its answers are for a judge.
        judgements: of those, by sample.
        failures: of those that could not be judged, by sample.
        tally: of this call.
        notes: what was repaired or set aside.
    """

    cases: int
    judgements: Mapping[str, Judgement]
    failures: Mapping[str, JudgeFailure]
    tally: Tally
    notes: tuple[str, ...] = ()


@attrs.frozen
class Estimate:
    """What judging would take.

    Attributes:
        cases: answers of the run that are for a judge.
        judged: those that are judged.
        cached: those left whose reply is in the cache.
        requests: those left to be asked, if all goes well.
        characters: in all messages of those.
    """

    cases: int
    judged: int
    cached: int
    requests: int
    characters: int


def judge_run(
    run: RunRecords,
    benchmark: Benchmark,
    judge: Judge,
    asked: Asked | None = None,
    *,
    cache: Cache | None = None,
    anew: bool = False,
    listener: Listener | None = None,
) -> Judged:
    """Judge the answers of a run that are not judged yet.

    Args:
        run: complete or not; it may be written meanwhile.
        benchmark: the one that it is of.
        judge: who judges.
        asked: where and how.
        cache: of replies; None: all are asked for.
        anew: set aside what was said of the run before.
        listener: is told what happens.

    Raises:
        MissingExtraError: openai is not installed.
        UsageError: there is nothing for a judge in a complete run, no key, a wrong address,
            another benchmark than the run's, or another judge than before.
        JudgeError: nobody can be asked (any more); what was judged is kept.
        RunFolderError: as for `JudgeFolder`.
    """
    asked, listener, tally = asked or Asked(), listener or Listener(), Tally()
    cases = cases_of(run, benchmark)
    if not cases:
        listener.note(_NOTHING_YET)
        return Judged(0, {}, {}, tally, (_NOTHING_YET,))
    # What was judged is set aside only where there is somebody to judge anew.
    endpoint = _endpoint(judge, asked) if anew else None
    with JudgeFolder(run.folder, judge, anew=anew) as folder:
        for note in folder.notes:
            listener.note(note)
        left = _failed_last(unjudged(cases, folder.found), run)
        if left:
            endpoint = endpoint or _endpoint(judge, asked)
            _note_other_host(folder, endpoint.host, listener)
            listener.begins(tally, len(left), len(cases) - len(left))
            asking = Asking(
                folder,
                benchmark,
                judge,
                endpoint,
                base_url=asked.base_url,
                tally=tally,
                cache=cache,
                patience=asked.patience,
                listener=listener,
            )
            asyncio.run(_within(endpoint, asking, left, asked.concurrency))
    return _standing(run, cases, tally, folder.notes)


def estimate(
    run: RunRecords,
    benchmark: Benchmark,
    judge: Judge,
    asked: Asked | None = None,
    *,
    cache: Cache | None = None,
    anew: bool = False,
) -> Estimate:
    """What `judge_run` would ask for; nothing is asked or written, and no key is needed.

    Raises:
        UsageError, RunFolderError: as `judge_run`.
    """
    asked = asked or Asked()
    cases = cases_of(run, benchmark)
    found = {} if anew else read_judgements(run.folder)
    check_judge(run.folder, found, judge)
    left = unjudged(cases, found)
    kept = [
        case
        for case in left
        if cache is not None and cache.get(key_of(asked.base_url, judge, case.messages))
    ]
    return Estimate(
        cases=len(cases),
        judged=len(cases) - len(left),
        cached=len(kept),
        requests=len(left) - len(kept),
        characters=sum(case.characters for case in left) - sum(case.characters for case in kept),
    )


def _endpoint(judge: Judge, asked: Asked) -> Endpoint:
    key = key_from(asked.key_variable, os.environ)
    return Endpoint(judge, key, base_url=asked.base_url, timeout=asked.timeout)


def _failed_last(left: list[Case], run: RunRecords) -> list[Case]:
    """Those that failed before behind all others, which they are not to keep from being tried."""
    failed = read_judge_failures(run.folder)
    return sorted(left, key=lambda case: case.sample.id in failed)


async def _within(endpoint: Endpoint, asking: Asking, left: list[Case], concurrency: int) -> None:
    async with endpoint:
        await asking.all(left, concurrency)


def _note_other_host(folder: JudgeFolder, host: str, listener: Listener) -> None:
    """A model of one name may be another elsewhere; that is for the user to know."""
    others = sorted({each.host for each in folder.found.values()} - {host})
    if others:
        listener.note(f"Judgements that are there are from {', '.join(others)}; {host} goes on.")


def _standing(run: RunRecords, cases: list[Case], tally: Tally, notes: tuple[str, ...]) -> Judged:
    judgements, failures = read_judgements(run.folder), read_judge_failures(run.folder)
    fitting = {
        case.sample.id: judgements[case.sample.id]
        for case in cases
        if case.sample.id in judgements and judgements[case.sample.id].fits(case.messages)
    }
    unjudged_ids = {case.sample.id for case in cases} - fitting.keys()
    return Judged(
        cases=len(cases),
        judgements=fitting,
        failures={name: each for name, each in failures.items() if name in unjudged_ids},
        tally=tally,
        notes=notes,
    )
