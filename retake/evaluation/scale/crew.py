"""The workers of a run as the process that writes knows them."""

from enum import Enum

import attrs

from retake.evaluation.scale.jobs import Job
from retake.evaluation.scale.messages import About


class State(Enum):
    """What a worker is doing."""

    STARTING = "starting"
    LOADING = "loading"
    IDLE = "idle"
    BUSY = "busy"
    #: Its line is lost, or it was told off: the end of its process is waited for.
    ENDING = "ending"
    #: Ended too often, and not started any more.
    GIVEN_UP = "given up"


@attrs.define(eq=False)
class Worker:
    """One slot, and the worker that is in it at the moment.

    Attributes:
        slot: its number, from 0.
        state: what it is doing.
        line: its connection; None before it has one, and once it is lost.
        about: what it said of itself.
        job: the video that it has.
        failure: why it could not do that, where it said so.
        stage, done, total: how far the video is.
        heard: when it was last heard of (`time.monotonic`).
        ends: how often it ended since it last finished a video.
        reason: why it is ending, where that is known before it has.
        gone: since when its process is known to have ended, while its line is still open.
    """

    slot: int
    state: State = State.STARTING
    line: int | None = None
    about: About | None = None
    job: Job | None = None
    failure: str | None = None
    stage: str = ""
    done: int = 0
    total: int = 0
    heard: float = 0.0
    ends: int = 0
    reason: str | None = None
    gone: float | None = None

    @property
    def works(self) -> bool:
        """Whether it is there, or still to come."""
        return self.state is not State.GIVEN_UP

    @property
    def name(self) -> str:
        """For messages: its number from 1, and where it is."""
        return f"worker {self.slot + 1}" + (f" on {self.about.host}" if self.about else "")
