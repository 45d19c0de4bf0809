"""Answering a benchmark's samples into a run, a video at a time.

The idea: a video is watched once and asked all that is not answered yet, or, where a selector
or compressor looks at the question, watched anew for each from one encoding. Numbers do not
depend on interruptions: how much of a budget is set aside, and which questions share a batch,
follows from all of a video's samples, answered or not. One video that cannot be read does not
end a run of days.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import torch

from retake import loading
from retake.core import config as options
from retake.core.benchmark import Benchmark, Sample
from retake.core.config import RunConfig
from retake.core.errors import NoRoomError, PartError, RetakeError, UsageError, VideoError, blame
from retake.core.memory import Answer, VideoMemory
from retake.core.plain import plain
from retake.core.provenance import command_line, hardware, revision, versions
from retake.evaluation.coding import code_behind
from retake.evaluation.folder import now
from retake.evaluation.keeping import Keeping
from retake.evaluation.marking import check_sample, marked, parsed, prompt_of
from retake.evaluation.matching import UNDECIDED, digest, groups_digest
from retake.evaluation.records import BenchmarkRecord, Failure, RunHeader, SampleRecord
from retake.video.archive import unpacked
from retake.video_model import VideoModel
from retake.watching import Progress

#: The stages whose times a sample carries; its watch has all of them.
STAGES = ("decode", "encode", "look", "select", "prefill", "answer")
#: What goes wrong with one video, and says nothing about the next.
OF_ONE_VIDEO = (VideoError, torch.OutOfMemoryError, MemoryError)


@attrs.frozen
class Asked:
    """A sample, and its question as the model is asked it."""

    sample: Sample
    prompt: str


class Run:
    """A benchmark's samples on their way to where answers are kept.

    Args:
        keeping: where: a run's folder, or what stands for it in a worker.
        benchmark: marks the answers.
        fail_fast: raise what goes wrong with a video once it is noted, instead of going on.
        on_sample: called with each sample once it is on the disk.
        on_failure: called with each failure likewise.
    """

    def __init__(
        self,
        keeping: Keeping,
        benchmark: Benchmark,
        *,
        fail_fast: bool = False,
        on_sample: Callable[[SampleRecord], None] | None = None,
        on_failure: Callable[[Failure], None] | None = None,
    ) -> None:
        self.keeping = keeping
        self.benchmark = benchmark
        self.fail_fast = fail_fast
        self._on_sample = on_sample or (lambda sample: None)
        self._on_failure = on_failure or (lambda failure: None)

    def pending(self, samples: Iterable[Sample]) -> list[Sample]:
        """Those that are not answered yet."""
        return [sample for sample in samples if sample.id not in self.keeping.answered]

    def answer(
        self,
        model: VideoModel,
        video: Any,
        samples: Sequence[Sample],
        progress: Progress | None = None,
    ) -> None:
        """Answer what is pending of one video's samples.

        Args:
            model: with the run's parts.
            video: its file, also in a zip archive, or what `model.encode` made of it.
            samples: all that the run has of this video, also those that are answered.
            progress: as in `VideoModel.watch`.

        Raises:
            RetakeError: what is wrong with more than this video, or `fail_fast` is on.
        """
        if not self.pending(samples):
            return
        try:
            with at_hand(video) as there:
                some = self._prompts(model, there, samples)
                if model.needs_question:
                    self._each_anew(model, there, some, progress)
                elif self.keeping.watch_each:
                    self._each_over(model, there, some, progress)
                else:
                    self._all_of_one(model, there, some, progress)
        except OF_ONE_VIDEO as error:
            self.fail(samples, error)
        except NoRoomError as error:
            # Subtitles are as long as the video is.
            if not self.benchmark.asks_by_frames:
                raise
            self.fail(samples, error)
        except PartError as error:
            # Memory may run out in a part's code, too.
            if not isinstance(error.__cause__, OF_ONE_VIDEO):
                raise
            self.fail(samples, error.__cause__)

    def fail(self, samples: Sequence[Sample], error: BaseException) -> None:
        """Note why what is pending of one video's samples cannot be answered.

        Raises:
            RetakeError: `fail_fast` is on.
        """
        left = self.pending(samples)
        video, reason = samples[0].video, reason_of(error)
        failure = self.keeping.add_failure(video, [sample.id for sample in left], reason)
        self._on_failure(failure)
        if self.fail_fast:
            raise error if isinstance(error, RetakeError) else VideoError(f"{video}: {reason}")

    def _prompts(self, model: VideoModel, video: Any, samples: Sequence[Sample]) -> list[Asked]:
        """The samples with what the model is asked."""
        if not self.benchmark.asks_by_frames:
            return [Asked(sample, sample.question) for sample in samples]
        times = model.sampled_times(video)
        return [Asked(sample, prompt_of(self.benchmark, sample, times)) for sample in samples]

    def _left(self, asked: Iterable[Asked]) -> list[Asked]:
        return [each for each in asked if each.sample.id not in self.keeping.answered]

    def _all_of_one(
        self, model: VideoModel, video: Any, asked: Sequence[Asked], progress: Progress | None
    ) -> None:
        """Watch once, ask all that is pending."""
        prompts = [each.prompt for each in asked]
        memory = model.watch(video, questions=prompts, progress=progress)
        watch = self.keeping.add_video(asked[0].sample.video, None, memory)
        size = self.keeping.batch
        for first in range(0, len(asked), size):
            some = asked[first : first + size]
            if self._left(some):
                self._ask(model, memory, watch, some)

    def _each_over(
        self, model: VideoModel, video: Any, asked: Sequence[Asked], progress: Progress | None
    ) -> None:
        """Watch for each question that is pending, though once would do for all.

        So much is set aside for questions as where all share a watch: the answers are the same.
        """
        prompts = [each.prompt for each in asked]
        for each in self._left(asked):
            memory = model.watch(video, questions=prompts, progress=progress)
            watch = self.keeping.add_video(each.sample.video, None, memory)
            self._ask(model, memory, watch, [each])

    def _each_anew(
        self, model: VideoModel, video: Any, asked: Sequence[Asked], progress: Progress | None
    ) -> None:
        """Encode once, watch for each question that is pending."""
        whole = isinstance(video, str | Path)
        encoded = model.encode(video, progress=progress) if whole else video
        for each in self._left(asked):
            memory = model.watch(encoded, questions=[each.prompt], progress=progress)
            watch = self.keeping.add_video(each.sample.video, each.prompt, memory)
            self._ask(model, memory, watch, [each])

    def _ask(
        self, model: VideoModel, memory: VideoMemory, watch: int, asked: Sequence[Asked]
    ) -> None:
        """Ask a batch as a whole, since rows of a batch round together; note what is new."""
        prompts = [each.prompt for each in asked]
        answers = model.ask_many(prompts, memory, batch=len(prompts))
        found: list[SampleRecord] = []
        try:
            for each, answer in zip(asked, answers, strict=True):
                if self._left([each]):
                    found.append(self._record(each, watch, answer))
        finally:
            # An answer that cannot be marked takes none of those before it with it.
            self.keeping.add_samples(found)
            for record in found:
                self._on_sample(record)

    def _record(self, asked: Asked, watch: int, answer: Answer) -> SampleRecord:
        sample, memory = asked.sample, answer.memory
        spent = (*memory.costs, *([answer.cost] if answer.cost else []))
        return SampleRecord(
            id=sample.id,
            watch=watch,
            video=str(sample.video),
            kind=sample.kind,
            groups=dict(sample.groups),
            question=sample.question,
            options=tuple(sample.options),
            expected=sample.answer,
            answer=answer.text,
            score=marked(self.benchmark, sample, answer.text),
            chance=sample.chance,
            cache_tokens=answer.cache_tokens,
            achieved_ratio=memory.compression.achieved_ratio,
            kv_bytes=memory.compression.kv_bytes,
            kv_bytes_full=memory.compression.kv_bytes_full,
            seconds={cost.name: cost.seconds for cost in spent if cost.name in STAGES},
            first_token_seconds=answer.first_token_seconds,
            token_seconds=answer.token_seconds,
            over_budget=answer.over_budget,
            parsed=parsed(self.benchmark, sample, answer.text),
            prompt=asked.prompt,
        )


@contextmanager
def at_hand(video: Any) -> Iterator[Any]:
    """A video as it can be watched: one in an archive is unpacked meanwhile.

    Raises:
        VideoError: as `unpacked`.
    """
    if not isinstance(video, str | Path):
        yield video
        return
    with unpacked(video) as there:
        yield there


def evaluate(
    run: Run, model: VideoModel, samples: Iterable[Sample], progress: Progress | None = None
) -> None:
    """Answer all that is pending, video by video.

    Raises:
        RetakeError: as `Run.answer`.
    """
    for video, some in by_video(samples):
        run.answer(model, video, some, progress)


def chosen(benchmark: Benchmark, limit: int | None = None) -> list[Sample]:
    """A benchmark's samples, or its first ones.

    Raises:
        UsageError: there are none, two have the same id, one is not as `Sample` says, or the
            limit is below 1.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"The limit must be at least 1 sample, got {limit}.")
    name = type(benchmark).__name__
    with blame(benchmark, "samples"):
        samples = list(benchmark.samples())
    if not samples:
        raise UsageError(f"{name} has no samples with these options.")
    seen: set[str] = set()
    for sample in samples:
        check_sample(sample, name)
        if sample.id in seen:
            raise UsageError(
                f"{name} has two samples with the id '{sample.id}'.",
                hint="A benchmark must give every sample an id of its own.",
            )
        seen.add(sample.id)
    return samples[:limit]


def by_video(samples: Iterable[Sample]) -> list[tuple[Path, list[Sample]]]:
    """Every video with its samples, in the order in which videos first occur."""
    found: dict[Path, list[Sample]] = {}
    for sample in samples:
        found.setdefault(sample.video, []).append(sample)
    return list(found.items())


def header_of(
    folder: Path,
    benchmark: tuple[str, Benchmark],
    samples: Sequence[Sample],
    config: RunConfig,
    model: VideoModel | None = None,
    *,
    limit: int | None = None,
    batch: int = 1,
    watch_each: bool = False,
) -> RunHeader:
    """What a run is to say of itself.

    Args:
        folder: of the run; its name is the run's.
        benchmark: its name, and itself.
        samples: all that the run will have.
        config: resolved.
        model: None where it is not loaded yet; what it decides is then UNDECIDED.
        limit, batch, watch_each: as in `RunHeader`.

    Raises:
        UsageError: `batch` is below 1.
    """
    if batch < 1:
        raise UsageError(f"The batch must be at least 1 question, got {batch}.")
    name, itself = benchmark
    chosen_options = attrs.asdict(itself) if attrs.has(type(itself)) else {}
    parts = [loading.make_selector(config.selector), loading.make_compressor(config.compressor)]
    if model is not None:
        parts = [(model.selector, config.selector), (model.compressor, config.compressor)]
    return RunHeader(
        name=folder.resolve().name,
        benchmark=BenchmarkRecord(name, plain(chosen_options)),
        config=plain(options.unstructure(config)),
        versions=versions(),
        device=model.backend.describe() if model else UNDECIDED,
        fingerprint=model.adapter.fingerprint if model else UNDECIDED,
        samples_total=len(samples),
        samples_sha256=digest(samples),
        command=tuple(command_line()),
        created=now(),
        limit=limit,
        batch=batch,
        code=code_behind(benchmark, parts),
        groups_sha256=groups_digest(samples),
        watch_each=watch_each,
        revision=revision(),
        hardware=hardware(),
    )


def reason_of(error: BaseException) -> str:
    """Why a video could not be done, in one line."""
    text = error.message if isinstance(error, RetakeError) else str(error)
    first = (text.strip().splitlines() or [""])[0]
    if isinstance(error, RetakeError):
        return first
    return f"out of memory: {first}" if first else "out of memory"
