"""What is left to do, handed out a video at a time.

The idea: a video is the unit, since it is watched once for all of its questions. The longest go
first, so that at the end nobody waits for one that was begun late. What failed is tried once
more, behind everything else, so that a video which brings workers down holds nobody up; and by
another worker, where there is one.
"""

from collections import deque
from collections.abc import Iterable, Sequence, Set
from pathlib import Path
from statistics import median

import attrs

from retake.core.benchmark import Sample
from retake.evaluation.running import by_video

#: How often a video is tried before it counts as failed.
TRIES = 2


@attrs.frozen
class Job:
    """A video with all of its samples, also those that are answered.

    Attributes:
        number: in the order of the benchmark, from 0.
        video: the file.
        samples: about it.
    """

    number: int
    video: Path
    samples: tuple[Sample, ...]


class Queue:
    """The videos that have unanswered samples.

    Args:
        samples: all that the run will have.
        answered: the ids of those that are answered.
    """

    def __init__(self, samples: Iterable[Sample], answered: Set[str]) -> None:
        jobs = [
            Job(number, video, tuple(some))
            for number, (video, some) in enumerate(by_video(samples))
            if not all(sample.id in answered for sample in some)
        ]
        lengths = estimated_lengths(jobs)
        ordered = sorted(jobs, key=lambda job: (-lengths[job.number], job.number))
        self._fresh = deque(ordered)
        self._again: list[Job] = []
        self._tried: dict[int, list[int]] = {}

    def __len__(self) -> int:
        """How many wait to be handed out."""
        return len(self._fresh) + len(self._again)

    def take(self, worker: int, *, others: bool) -> Job | None:
        """The next video for a worker; None where nothing is left that it should do.

        Args:
            worker: its number.
            others: whether there is another worker, which could do what this one failed at.
        """
        if self._fresh:
            return self._fresh.popleft()
        for position, job in enumerate(self._again):
            if not others or worker not in self._tried[job.number]:
                return self._again.pop(position)
        return None

    def failed(self, job: Job, worker: int) -> bool:
        """Note that a worker could not do a video; whether it will be tried again."""
        tried = self._tried.setdefault(job.number, [])
        tried.append(worker)
        if len(tried) >= TRIES:
            return False
        self._again.append(job)
        return True


def estimated_lengths(jobs: Sequence[Job]) -> dict[int, float]:
    """How long each job's video is in seconds, by its number.

    Where the benchmark does not say, by the size of the file, at the rate of those of which both
    are known; where there are none, the size itself, which orders them as well.
    """
    known = {job.number: told for job in jobs if (told := _told(job)) is not None}
    if len(known) == len(jobs):
        return known
    sizes = {job.number: float(size_of(job.video)) for job in jobs}
    rates = [known[number] / sizes[number] for number in known if sizes[number]]
    rate = median(rates) if rates else 1.0
    return {number: known.get(number, size * rate) for number, size in sizes.items()}


def _told(job: Job) -> float | None:
    """The length that the benchmark gives."""
    return max((each.seconds for each in job.samples if each.seconds is not None), default=None)


def size_of(video: Path) -> int:
    """Bytes of a video: of the file, about that of a folder of pictures; 0 where it is not there.

    A video in an archive counts 0, too: archives are not opened for it.
    """
    try:
        if not video.is_dir():
            return video.stat().st_size
        pictures = [entry for entry in video.iterdir() if entry.is_file()]
        # There are tens of thousands in a folder, all about as large.
        return len(pictures) * pictures[0].stat().st_size if pictures else 0
    except OSError:
        return 0
