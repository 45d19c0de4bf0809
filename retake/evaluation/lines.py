"""What a run leaves behind, as typed records: the lines of its journals, and its header."""

from pathlib import Path
from typing import Any

import attrs

from retake.core.memory import Compression, Frames, Source, StageCost

#: Changes with every change of what a folder holds.
FORMAT = "retake.run-folder/2"
#: Formats that are read: what later ones have besides, earlier ones do without.
READ = ("retake.run-folder/1", FORMAT)
HEADER = "run.json"
VIDEOS = "videos.jsonl"
SAMPLES = "samples.jsonl"
FAILURES = "failures.jsonl"
SESSIONS = "sessions.jsonl"
#: What every summary is made from: not a journal, and written anew when there is more.
RESULTS = "results.json"

#: What a run's folder holds.
OWN_FILES = (
    HEADER,
    VIDEOS,
    SAMPLES,
    FAILURES,
    SESSIONS,
    RESULTS,
    "judgements.jsonl",
    "judge_failures.jsonl",
)

#: The values of a sample's groups, as JSON has them.
Groups = dict[str, str | int | float | tuple[str, ...]]


@attrs.frozen
class BenchmarkRecord:
    """Which benchmark, with all of its options."""

    name: str
    options: dict[str, Any]


@attrs.frozen
class RunHeader:
    """What was run: `run.json`.

    Attributes:
        name: the run's, by default its folder's.
        benchmark: which one, with all of its options.
        limit: only the benchmark's first samples, so many; None: all of them.
        batch: questions about one video that were answered at a time.
        watch_each: whether a video was watched anew for each of its questions, though once is
            enough for them all.
        config: the whole resolved configuration.
        versions, device, command: of the process that began the run.
        fingerprint: of the model's weights.
        samples_total: how many samples the run has once it is complete.
        samples_sha256: of their ids, questions, options and answers.
        created: when the run was begun, ISO 8601.
        code: SHA-256 of the code outside this package that parts and benchmark were taken from,
            by file or module; nothing in runs of before it was kept.
        groups_sha256: of the samples' ids, groups and chance; None likewise.
        revision: the git commit of this package's source, with "+changes" where files differ
            from it; None where it is not run from a checkout.
        hardware: of the machine that began the run: processor, cores, memory.
    """

    name: str
    benchmark: BenchmarkRecord
    config: dict[str, Any]
    versions: dict[str, str]
    device: str
    fingerprint: str
    samples_total: int
    samples_sha256: str
    command: tuple[str, ...]
    created: str
    limit: int | None = None
    batch: int = 1
    format: str = FORMAT
    code: dict[str, str] = attrs.field(factory=dict)
    groups_sha256: str | None = None
    watch_each: bool = False
    revision: str | None = None
    hardware: dict[str, str | int] = attrs.field(factory=dict)


@attrs.frozen
class VideoRecord:
    """One pass over a video: a line of `videos.jsonl`, written before its samples.

    Attributes:
        watch: its number in the run. A video has several where it was watched for each
            question, or again after an interruption.
        video: the file.
        question: for which it was watched, where that matters to what is kept; else None.
        frames, source, compression, costs: as in `VideoMemory`.
        worker: which of the run's workers watched it, from 0; None where the process that wrote
            did so itself.
    """

    watch: int
    video: str
    question: str | None
    frames: Frames | None
    source: Source | None
    compression: Compression
    costs: tuple[StageCost, ...]
    worker: int | None = None


@attrs.frozen
class SampleRecord:
    """One answered question: a line of `samples.jsonl`.

    Attributes:
        id, kind, groups, question, options, chance: as in `Sample`.
        watch: which pass over the video it rests on.
        video: the file.
        expected: what is right; None where the benchmark keeps that to itself.
        answer: what the model said.
        score: how right that is, 0 … 1; None where that is not known here.
        cache_tokens: pairs in each layer once the question was in.
        achieved_ratio: visual tokens kept over visual tokens selected.
        kv_bytes, kv_bytes_full: of the cache after the video; had nothing been selected or evicted.
        seconds: of each stage of its watch, which all samples of the watch share, and of its
            own "answer".
        first_token_seconds: from the question to the first token.
        token_seconds: per further token; None with fewer than two.
        over_budget: tokens by which the cache exceeded the budget with the question in it.
        parsed: what was taken for the answer in what the model said; None where nothing was.
        prompt: the question as the model was asked it, subtitles included; None in runs of before
            it was kept, and then `parsed` was not kept either.
    """

    id: str
    watch: int
    video: str
    kind: str
    groups: Groups
    question: str
    options: tuple[str, ...]
    expected: str | None
    answer: str
    score: float | None
    chance: float
    cache_tokens: tuple[int, ...]
    achieved_ratio: float
    kv_bytes: int
    kv_bytes_full: int
    seconds: dict[str, float]
    first_token_seconds: float
    token_seconds: float | None
    over_budget: int
    parsed: str | None = None
    prompt: str | None = None


@attrs.frozen
class Failure:
    """Samples that could not be answered: a line of `failures.jsonl`.

    Attributes:
        video: the file.
        samples: the ids of those left unanswered.
        reason: why.
        created: when, ISO 8601.
    """

    video: str
    samples: tuple[str, ...]
    reason: str
    created: str


@attrs.frozen
class Session:
    """One process that worked on the run: a line of `sessions.jsonl`.

    The process that writes has a line, and so has each worker that it had.

    Attributes:
        started: when, ISO 8601.
        first_watch: the number of its first pass over a video.
        command, versions, device: its own.
        repaired: what it had to repair.
        worker: its number among the workers, from 0; None for the process that writes.
        host, pid: where it ran.
        threads: that computed on its CPU; None where nobody asked.
        revision, hardware: as in `RunHeader`; of the process that writes.
    """

    started: str
    first_watch: int
    command: tuple[str, ...]
    versions: dict[str, str]
    device: str
    repaired: tuple[str, ...] = ()
    worker: int | None = None
    host: str | None = None
    pid: int | None = None
    threads: int | None = None
    revision: str | None = None
    hardware: dict[str, str | int] = attrs.field(factory=dict)


@attrs.frozen
class RunRecords:
    """A run as it stands.

    Attributes:
        folder: where it is.
        header: what was run.
        videos: every pass over a video, by number.
        samples: every answered question, in the order of answering.
        failures: the newest failure of every video that has unanswered samples because of it.
        sessions: the processes that wrote it.
        notes: what there is to say of the files.
    """

    folder: Path
    header: RunHeader
    videos: tuple[VideoRecord, ...] = attrs.field(repr=lambda v: f"{len(v)} of them")
    samples: tuple[SampleRecord, ...] = attrs.field(repr=lambda v: f"{len(v)} of them")
    failures: tuple[Failure, ...] = ()
    sessions: tuple[Session, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every sample was answered."""
        return len(self.samples) == self.header.samples_total

    @property
    def failed(self) -> int:
        """How many samples could not be answered."""
        return sum(len(failure.samples) for failure in self.failures)
