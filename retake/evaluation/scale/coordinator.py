"""The process that writes: hands out videos, and keeps what workers find.

The idea: it alone holds the run's folder. Whatever has come in is written, brought to the disk, and
only then acknowledged; a worker asks its next question after that. A worker that is lost loses the
video it had, and nothing of that which was acknowledged: the video is tried once more with the
samples that are left, then noted as failed. A line that was given up says nothing any more, so that
a worker that comes back from the dead can add nothing.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import attrs

from retake.core import errors
from retake.core.benchmark import Sample
from retake.core.errors import RetakeError, VideoError, WorkerError
from retake.evaluation.folder import RunFolder
from retake.evaluation.records import Failure, SampleRecord, VideoRecord, from_plain
from retake.evaluation.scale.agreement import check_agreement
from retake.evaluation.scale.crew import State, Worker
from retake.evaluation.scale.hub import Event, Hub
from retake.evaluation.scale.jobs import Job, Queue
from retake.evaluation.scale.launchers.launcher import Launcher
from retake.evaluation.scale.messages import About, Task
from retake.evaluation.scale.wire import PROTOCOL, from_sample

#: How often a slot's worker may end without having finished a video, before it is given up.
MOST_ENDS = 3
# Seconds between looks at processes and clocks.
_TICK = 0.2
# Seconds in which the process of a lost line has to end by itself.
_ENDING_SECONDS = 10.0
#: Seconds without a word in which a worker must have loaded its model, if no more are allowed.
LOADING_SECONDS = 1800.0
# Seconds in which what an ended process said last is waited for.
_LAST_WORDS_SECONDS = 2.0
# This process itself was stopped, or its machine slept, where a look comes so much later.
_OVERSLEPT = 30.0


class Watcher(Protocol):
    """Is told how a run goes."""

    def sample(self, record: SampleRecord) -> None:
        """A sample is on the disk."""

    def failure(self, failure: Failure) -> None:
        """A video failed for good."""

    def say(self, text: str) -> None:
        """Something that should be read."""

    def crew(self, workers: Sequence[Worker]) -> None:
        """What the workers are doing, now and then."""


class Coordinator:
    """One session of a run with many workers.

    Args:
        task: what workers do.
        samples: all that the run will have.
        launcher: starts and ends them.
        open_folder: opens the run's folder, given what the first worker says of itself.
        watcher: told how far it is.
        hang_timeout: seconds without a word after which a busy worker counts as lost.
        fail_fast: raise what goes wrong with a video once it is noted, instead of going on.
    """

    def __init__(
        self,
        task: Task,
        samples: Sequence[Sample],
        launcher: Launcher,
        open_folder: Callable[[About], RunFolder],
        watcher: Watcher,
        *,
        hang_timeout: float = 1800.0,
        fail_fast: bool = False,
    ) -> None:
        self._task = task
        self._samples = samples
        self._launcher = launcher
        self._open_folder = open_folder
        self._watcher = watcher
        self._hang_timeout = hang_timeout
        self._fail_fast = fail_fast
        self._workers = [Worker(slot) for slot in range(launcher.slots)]
        self._folder: RunFolder | None = None
        self._queue: Queue | None = None
        self._new: list[SampleRecord] = []
        self._looked = 0.0

    def run(self) -> None:
        """Answer all that is pending; the launcher is still to be closed.

        Raises:
            WorkerError: workers do not agree, or none is left.
            RetakeError: what is wrong with more than one video, or `fail_fast` is on.
        """
        with Hub(self._launcher.host) as self._hub:
            try:
                for sample in self._samples:
                    from_sample(sample)  # refused now rather than when its turn comes
                self._looked = time.monotonic()
                for worker in self._workers:
                    self._start(worker)
                while not self._finished():
                    self._hear(self._hub.events(_TICK))
                    self._look_after()
                    self._hand_out()
                    self._watcher.crew(self._workers)
                for worker in self._workers:
                    self._send(worker, "end")
            finally:
                if self._folder is not None:
                    self._folder.close()

    def _finished(self) -> bool:
        """Whether nothing is waiting, and nobody is at work."""
        busy = any(worker.job is not None for worker in self._workers)
        return self._queue is not None and not self._queue and not busy

    def _start(self, worker: Worker) -> None:
        worker.state, worker.heard, worker.stage = State.STARTING, time.monotonic(), ""
        worker.reason = worker.gone = None
        self._launcher.start(worker.slot, self._hub.place)

    # What comes in

    def _hear(self, events: Sequence[Event]) -> None:
        """All that came in: written first, acknowledged when it is on the disk."""
        replies: list[tuple[int, dict[str, Any]]] = []
        for event in events:
            worker = next((each for each in self._workers if each.line == event.line), None)
            if event.message is None:
                if worker is not None:
                    self._hung_up(worker)
                continue
            kind = event.message.pop("kind")
            if worker is None:
                if kind == "hello":
                    self._greet(event.line, **event.message)
                continue
            worker.heard = time.monotonic()
            reply = getattr(self, f"_on_{kind}")(worker, **event.message)
            if reply is not None:
                replies.append((event.line, reply))
        if replies and self._folder is not None:
            self._folder.sync()
        for line, reply in replies:
            self._hub.send(line, "kept", **reply)
        for sample in self._new:
            self._watcher.sample(sample)
        self._new.clear()

    def _greet(self, line: int, slot: int, host: str, pid: int, protocol: str) -> None:
        if protocol != PROTOCOL:
            raise WorkerError(
                f"The worker on {host} speaks {protocol}, this process {PROTOCOL}.",
                hint="Install the same retake everywhere.",
            )
        worker = self._workers[slot] if 0 <= slot < len(self._workers) else None
        if worker is None or worker.state is not State.STARTING or worker.line is not None:
            self._hub.drop(line)
            return
        worker.line, worker.state, worker.heard = line, State.LOADING, time.monotonic()
        self._hub.send(line, "task", task=attrs.asdict(self._task))

    def _on_progress(self, worker: Worker, stage: str, done: int, total: int) -> None:
        worker.stage, worker.done, worker.total = stage, done, total

    def _on_ready(self, worker: Worker, about: dict[str, Any]) -> None:
        worker.about = About(**about)
        if self._folder is None:
            self._folder = self._open_folder(worker.about)
            self._queue = Queue(self._samples, self._folder.answered)
        for note in check_agreement(self._folder.header, worker.name, worker.about):
            self._watcher.say(f"Note: {note}")
        self._folder.sign_in_worker(
            worker.slot,
            host=worker.about.host,
            pid=worker.about.pid,
            device=worker.about.device,
            threads=worker.about.threads,
            versions=worker.about.versions,
        )
        worker.state = State.IDLE

    def _on_watch(self, worker: Worker, record: dict[str, Any]) -> dict[str, Any]:
        found = attrs.evolve(from_plain(VideoRecord, record), worker=worker.slot)
        return {"watch": self._open.add_watch(found, sync=False)}

    def _on_sample(self, worker: Worker, record: dict[str, Any]) -> dict[str, Any]:
        sample = from_plain(SampleRecord, record)
        self._open.add_sample(sample, sync=False)
        self._new.append(sample)
        return {}

    def _on_failed(self, worker: Worker, reason: str) -> dict[str, Any]:
        worker.failure = reason
        return {}

    def _on_done(self, worker: Worker) -> None:
        job, failure = worker.job, worker.failure
        worker.job = worker.failure = None
        worker.state, worker.stage, worker.ends = State.IDLE, "", 0
        if job is not None and failure is not None:
            self._not_done(worker, job, failure)

    def _on_broken(self, worker: Worker, reason: str) -> None:
        worker.reason = reason

    def _on_refused(self, worker: Worker, trouble: dict[str, Any]) -> None:
        """Something is wrong with more than a video."""
        was_ready = worker.state is not State.LOADING
        if self._folder is not None and not was_ready:
            # Others have loaded the same: this is a matter of that machine.
            worker.reason = trouble["message"]
            self._tell_off(worker)
            return
        raise _error(**trouble)

    def _hung_up(self, worker: Worker) -> None:
        worker.line, worker.state, worker.heard = None, State.ENDING, time.monotonic()

    @property
    def _open(self) -> RunFolder:
        if self._folder is None:
            raise WorkerError("A worker sent results before it was asked for any.")
        return self._folder

    # Who is there

    def _look_after(self) -> None:
        """Notice who has ended and who hangs."""
        now = time.monotonic()
        overslept, self._looked = now - self._looked > _OVERSLEPT, now
        for worker in self._workers:
            if not worker.works:
                continue
            if overslept:
                worker.heard = now
            reason = self._ended(worker, now)
            if reason is not None:
                self._lost(worker, worker.reason or reason)
            elif worker.state is State.ENDING and now - worker.heard > _ENDING_SECONDS:
                self._launcher.kill(worker.slot)
                if now - worker.heard > 3 * _ENDING_SECONDS:
                    self._lost(worker, worker.reason or "it cannot be reached")
            elif self._hangs(worker, now):
                worker.reason = f"it said nothing for {now - worker.heard:.0f} seconds"
                self._tell_off(worker)

    def _ended(self, worker: Worker, now: float) -> str | None:
        """Why a worker's process is no longer there, once all that it said was heard."""
        reason = self._launcher.ended(worker.slot)
        if reason is None or worker.line is None:
            return reason
        # Its line says when its last words are through; a process that it forked may keep it open.
        worker.gone = worker.gone or now
        if now - worker.gone < _LAST_WORDS_SECONDS:
            return None
        self._hub.drop(worker.line)
        worker.line = None
        return reason

    def _hangs(self, worker: Worker, now: float) -> bool:
        waiting = worker.state in (State.IDLE, State.ENDING)
        if waiting or self._launcher.coming(worker.slot):
            return False
        if worker.state is State.BUSY:
            return now - worker.heard > self._hang_timeout
        # Loading says nothing for long where a model of many gigabytes comes over a network.
        return now - worker.heard > max(self._hang_timeout, LOADING_SECONDS)

    def _tell_off(self, worker: Worker) -> None:
        """End a worker's process, and hear nothing more of it."""
        if worker.line is not None:
            self._hub.drop(worker.line)
        self._hung_up(worker)
        self._launcher.kill(worker.slot)

    def _lost(self, worker: Worker, reason: str) -> None:
        """A worker's process has ended: its video goes elsewhere, and another one comes."""
        name, job = worker.name, worker.job
        worker.job = worker.failure = worker.about = None
        worker.ends += 1
        again = worker.ends < MOST_ENDS
        then = "It is started again" if again else "It is not started any more"
        self._watcher.say(f"{name.capitalize()} is lost: {reason.rstrip('.')}. {then}.")
        if again:
            self._start(worker)
        else:
            worker.state = State.GIVEN_UP
        if job is not None:
            self._not_done(worker, job, f"its worker was lost: {reason}")
        if not any(each.works for each in self._workers):
            raise WorkerError(
                f"No worker is left; the last one was lost because {reason.rstrip('.')}.",
                hint="What was answered is kept; --resume goes on from there.",
            )

    # What is to be done

    def _hand_out(self) -> None:
        if self._queue is None or self._folder is None:
            return
        for worker in self._workers:
            if worker.state is not State.IDLE:
                continue
            others = any(self._is_here(each) for each in self._workers if each is not worker)
            job = self._queue.take(worker.slot, others=others)
            if job is not None:
                self._give(worker, job, self._folder)

    def _is_here(self, worker: Worker) -> bool:
        """Whether a worker will take a video before long: one without a place may never come."""
        waits = worker.state in (State.STARTING, State.ENDING)
        return worker.works and not (waits and self._launcher.coming(worker.slot))

    def _give(self, worker: Worker, job: Job, folder: RunFolder) -> None:
        worker.job, worker.state, worker.heard = job, State.BUSY, time.monotonic()
        worker.stage, worker.done, worker.total = "", 0, 0
        self._send(
            worker,
            "job",
            samples=[from_sample(sample) for sample in job.samples],
            answered=[each.id for each in job.samples if each.id in folder.answered],
        )

    def _not_done(self, worker: Worker, job: Job, reason: str) -> None:
        """A video was not finished: it is tried again, or has failed."""
        folder = self._open
        left = [each.id for each in job.samples if each.id not in folder.answered]
        if not left or self._queue is None or self._queue.failed(job, worker.slot):
            return
        failure = folder.add_failure(job.video, left, reason)
        self._watcher.failure(failure)
        if self._fail_fast:
            raise VideoError(f"{job.video}: {reason}")

    def _send(self, worker: Worker, kind: str, **content: Any) -> None:
        if worker.line is not None:
            self._hub.send(worker.line, kind, **content)


def _error(kind: str, message: str, hint: str | None) -> RetakeError:
    """An error that a worker reported, as it would have been raised here."""
    known = getattr(errors, kind, None)
    if isinstance(known, type) and issubclass(known, RetakeError):
        return known(message, hint=hint)
    return WorkerError(message, hint=hint)
