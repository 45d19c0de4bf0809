"""Answers on their way to a judge, several at a time, and what it says into the run's folder.

The idea: so many workers take the next answer each when they are free, so there are never more
requests under way. A worker asks until the benchmark understands the reply, or gives up on that
answer; either is on the disk before it takes another. Whatever ends the process, what was judged
is kept. Where nothing works any more, that is not tried out on thousands of answers.
"""

import asyncio
from collections.abc import Iterator, Sequence

import attrs

from retake.core.benchmark import Benchmark
from retake.evaluation.folder import now
from retake.evaluation.judging.cache import Cache, Kept, key_of
from retake.evaluation.judging.endpoint import Endpoint, Reply
from retake.evaluation.judging.errors import JudgeError, NotNow, NotThis
from retake.evaluation.judging.folder import JudgeFolder
from retake.evaluation.judging.planning import Case, aspects_in
from retake.evaluation.judging.records import Judge, JudgeFailure, Judgement, rubric_digest
from retake.evaluation.judging.tally import Listener, Tally
from retake.evaluation.judging.texts import on_a_line
from retake.evaluation.judging.waiting import Patience

#: Characters of a reply that marks are looked for in; a judge that says more went astray.
LONGEST_REPLY = 100_000
#: Answers in a row that could not be judged, after which no more are tried. One whose own request
#: is refused is none of them, once a single answer was judged: the next is another matter.
IN_A_ROW = 10

_USELESS = 2000  # characters that are kept of a reply that was not understood
_KEPT = "What is judged is kept; the same command goes on with the rest."


class Asking:
    """A judge's work on one run.

    Args:
        folder: takes what it says.
        benchmark: reads its replies.
        judge: who it is.
        endpoint: where it is asked.
        base_url: its address, for the cache.
        cache: replies that were paid for; None: none are looked up or kept.
        patience: with the endpoint, and with replies that cannot be understood.
        listener: is told.

    Attributes:
        tally: what it came to so far.
    """

    def __init__(
        self,
        folder: JudgeFolder,
        benchmark: Benchmark,
        judge: Judge,
        endpoint: Endpoint,
        *,
        base_url: str,
        tally: Tally,
        cache: Cache | None = None,
        patience: Patience | None = None,
        listener: Listener | None = None,
    ) -> None:
        self.tally = tally
        self._folder = folder
        self._benchmark = benchmark
        self._judge = judge
        self._endpoint = endpoint
        self._base_url = base_url
        self._cache = cache
        self._patience = patience or Patience()
        self._listener = listener or Listener()
        self._busy: dict[str, asyncio.Lock] = {}
        self._in_a_row = 0

    async def all(self, cases: Sequence[Case], concurrency: int) -> None:
        """Judge all of them, so many at a time.

        Raises:
            JudgeError: nobody can be asked any more.
            UsageError, PartError: the benchmark's code is wrong.
            RunFolderError: the system refuses what is to be kept.
        """
        left = iter(cases)
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(min(concurrency, len(cases))):
                    workers.create_task(self._work(left))
        except BaseExceptionGroup as group:
            raise _first(group) from None

    async def _work(self, left: Iterator[Case]) -> None:
        for case in left:
            if self._cache is None:
                await self._ask(case, None)
                continue
            key = key_of(self._base_url, self._judge, case.messages)
            # Of two answers that are asked about in the same words, the second waits for the first.
            async with self._busy.setdefault(key, asyncio.Lock()):
                if not self._was_asked(case, key):
                    await self._ask(case, key)

    def _was_asked(self, case: Case, key: str) -> bool:
        """Judge by a reply that was kept, if there is one of use."""
        kept = self._cache.get(key) if self._cache else None
        if kept is None:
            return False
        try:
            aspects = self._understood(case, kept.reply)
        except ValueError:  # the benchmark reads replies in another way by now
            return False
        self.tally.cached += 1
        self._add(case, aspects, kept, Tally())
        return True

    async def _ask(self, case: Case, key: str | None) -> None:
        """Ask until the reply is of use, or it is no use to go on."""
        own, reason, useless = Tally(), "", None
        last = self._patience.retries + 1
        for attempt in range(1, last + 1):
            own.requests += 1
            self.tally.requests += 1
            try:
                reply = await self._endpoint.ask(case.messages, attempt)
            except NotThis as refusal:
                self._fail(case, refusal.reason, None, own.requests, own=True)
                return
            except NotNow as trouble:
                reason = trouble.reason
                if attempt < last:
                    await self._wait(case, trouble, attempt)
                continue
            own.add(reply)
            self.tally.add(reply)
            try:
                aspects = self._understood(case, reply)
            except ValueError as error:
                reason = f"its reply cannot be understood: {on_a_line(str(error))}"
                useless = reply.text[:_USELESS]
                continue
            kept = Kept(reply, now())
            self._add(case, aspects, kept, own)
            self._keep(key, kept)
            self._in_a_row = 0
            return
        self._fail(case, reason, useless, own.requests)

    async def _wait(self, case: Case, trouble: NotNow, attempt: int) -> None:
        seconds = self._patience.seconds(attempt, trouble.after)
        self._listener.waits(case.sample.id, trouble.reason, seconds)
        await self._patience.sleep(seconds)

    def _understood(self, case: Case, reply: Reply) -> dict[str, float]:
        if len(reply.text) > LONGEST_REPLY:
            raise ValueError(f"it is {len(reply.text):,} characters long")
        if reply.cut:  # what stands in it may not have been the judge's last word
            raise ValueError("a limit of tokens cut it off; --max-tokens allows more")
        return aspects_in(self._benchmark, case.sample, reply.text)

    def _add(self, case: Case, aspects: dict[str, float], kept: Kept, own: Tally) -> None:
        counted = own.uncounted == 0
        judgement = Judgement(
            sample=case.sample.id,
            aspects=aspects,
            reply=kept.reply.text,
            **attrs.asdict(self._judge),
            served=kept.reply.served,
            host=self._endpoint.host,
            messages_sha256=case.messages_sha256,
            rubric_sha256=rubric_digest(case.messages),
            attempts=own.requests,
            prompt_tokens=own.prompt_tokens if counted else None,
            completion_tokens=own.completion_tokens if counted else None,
            created=kept.created,
        )
        self._folder.add(judgement)
        self.tally.judged += 1
        self._listener.judged(judgement)

    def _keep(self, key: str | None, kept: Kept) -> None:
        """Keep a reply for other runs; without a cache it is paid for again, and that is said."""
        if self._cache is None or key is None:
            return
        try:
            self._cache.put(key, kept)
        except OSError as error:
            self._cache = None
            self._listener.note(f"Replies are not kept for other runs: {error}.")

    def _fail(
        self, case: Case, reason: str, useless: str | None, attempts: int, *, own: bool = False
    ) -> None:
        """Note that an answer could not be judged; `own`: for what is asked about it."""
        host = self._endpoint.host
        if not self._endpoint.reached:
            raise JudgeError(
                f"The judge's endpoint {host} cannot be reached: {reason}.",
                hint=f"Check the base URL, and whether it runs. {_KEPT}",
            )
        failure = JudgeFailure(
            sample=case.sample.id,
            reason=reason,
            reply=useless,
            **attrs.asdict(self._judge),
            host=host,
            messages_sha256=case.messages_sha256,
            attempts=attempts,
            created=now(),
        )
        self._folder.fail(failure)
        self.tally.failed += 1
        self._listener.failed(failure)
        if own and (self.tally.judged or self._folder.found):
            return
        self._in_a_row += 1
        if self._in_a_row == IN_A_ROW:
            raise JudgeError(
                f"{IN_A_ROW} answers in a row could not be judged, the last one because {reason}.",
                hint=_KEPT,
            )


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """One of the errors that ended the workers, out of the groups around it."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
