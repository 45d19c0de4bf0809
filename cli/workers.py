"""The options that say who does the work, and the launcher that they ask for."""

import math
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import attrs
import click

from .options import section_option

if TYPE_CHECKING:
    from retake.core.config import RunConfig
    from retake.evaluation.scale.launchers.launcher import Launcher

#: Seconds without a word after which a worker counts as lost.
HANG_TIMEOUT = 1800.0
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def _count(_: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """A number of workers; None for "auto"."""
    if value in (None, "auto"):
        return None
    if not str(value).isdecimal() or int(str(value)) < 1:
        raise click.BadParameter(f"'{value}' is neither a number from 1 nor auto.", param=param)
    return int(str(value))


def _seconds(_: click.Context, param: click.Parameter, value: float) -> float:
    """A time, which is compared with others: all compare false with what is no number."""
    if math.isnan(value):
        raise click.BadParameter("nan is no number of seconds.", param=param)
    return value


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    section_option(
        "--workers",
        section="Workers",
        callback=_count,
        metavar="COUNT",
        help="Processes that answer, each with a model of its own. Default: one for each device.",
    ),
    section_option(
        "--launcher",
        section="Workers",
        type=click.Choice(["local", "ray", "torchrun"]),
        default="local",
        show_default=True,
        help="Who starts them: this process, Ray, or torchrun or SLURM as they started this one.",
    ),
    section_option(
        "--ray-address",
        section="Workers",
        metavar="ADDRESS",
        help="Of an existing cluster; auto: of this machine's. Default: RAY_ADDRESS, else a local "
        "cluster.",
    ),
    section_option(
        "--hang-timeout",
        section="Workers",
        type=click.FloatRange(min=5),
        callback=_seconds,
        default=HANG_TIMEOUT,
        show_default=True,
        metavar="SECONDS",
        help="A worker at work that says nothing for so long is lost.",
    ),
)


def worker_options(function: Decorated) -> Decorated:
    """Decorator: who does the work."""
    for add in reversed(_OPTIONS):
        function = add(function)
    return function


@attrs.define
class Crew:
    """Who does the work; a context manager: no worker outlives it.

    Attributes:
        config: of the model.
        workers: how many; None: as many as there are devices.
        launcher: who starts them.
        ray_address: of a cluster.
        hang_timeout: in seconds.
    """

    config: "RunConfig"
    workers: int | None
    launcher: str
    ray_address: str | None
    hang_timeout: float
    _stack: ExitStack = attrs.field(factory=ExitStack, init=False)
    _early: "Launcher | None" = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        if self.ray_address is not None and self.launcher != "ray":
            raise click.UsageError("--ray-address is for --launcher ray.")
        if self.workers is not None and self.launcher == "torchrun":
            raise click.UsageError("--launcher torchrun has as many workers as there are ranks.")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A launcher waits for who is late only where all went well.
        self._stack.__exit__(kind, error, trace)

    def is_helper(self) -> bool:
        """Whether another process writes, and this one only kept a worker for it until now.

        Among ranks this must be asked before anything else is done: others wait for rank 0.

        Raises:
            UsageError, WorkerError: the ranks are not as they must be, or do not meet.
        """
        if self.launcher != "torchrun":
            return False
        from retake.evaluation.scale.launchers import torchrun

        ranks = torchrun.Ranks.of()
        spread = self.config.model.device_map is not None
        environment = ranks.environment(self._backend(), spread=spread)
        if ranks.rank:
            torchrun.keep_rank(ranks, environment)
            return True
        self._early = self._stack.enter_context(torchrun.TorchrunLauncher(ranks, environment))
        return False

    def launch(self, videos: int, *, of: int) -> "Launcher | None":
        """The launcher for so many videos; None where this process does the work itself.

        Args:
            videos: how many are left. There are no more workers.
            of: how many the run has. Devices and cores are divided as if all were left: another
                number of threads, or of cards, adds up in another order.

        Raises:
            UsageError, WorkerError, MissingExtraError: it cannot be had.
        """
        if self.launcher == "torchrun":
            return self._early
        videos, of = max(1, videos), max(1, of)
        found = self._ray(videos, of) if self.launcher == "ray" else self._local(videos, of)
        return None if found is None else self._stack.enter_context(found)

    def _local(self, videos: int, of: int) -> "Launcher | None":
        from retake.evaluation.scale.launchers import devices
        from retake.evaluation.scale.launchers.local import LocalLauncher

        backend, spread = self._backend(), self.config.model.device_map is not None
        workers = self.workers or (1 if spread else devices.device_count(backend))
        workers = min(workers, of)
        if workers == 1:
            return None
        return LocalLauncher(devices.environments(backend, workers, spread=spread)[:videos])

    def _ray(self, videos: int, of: int) -> "Launcher":
        from retake.evaluation.scale.launchers.ray import RayLauncher

        workers = self.workers and min(self.workers, of)
        return RayLauncher(workers, self.ray_address, self.config, most=videos)

    def _backend(self) -> Any:
        from retake.loading import make_backend

        return make_backend(self.config.model.backend, self.config.model.attention)
