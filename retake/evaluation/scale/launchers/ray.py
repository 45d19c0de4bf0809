"""Workers on a Ray cluster: a keeper for each, as an actor, wherever Ray finds room for it."""

import contextlib
import os
import re
import signal
from typing import Any

from retake.core.config import RunConfig
from retake.core.errors import MissingExtraError, UsageError, WorkerError
from retake.evaluation.scale.launchers.devices import cores
from retake.evaluation.scale.launchers.keepers import KeptLauncher, keep
from retake.evaluation.scale.wire import Place

# What Ray calls the devices of a backend.
_RESOURCES = {"cuda": "GPU", "npu": "NPU"}
# Ray colours what it quotes, and ends with the error that it quotes, as Python does.
_COLOURS = re.compile(r"\x1b\[[\d;]*m")
_BEHIND = re.compile(r"[\w.]*(Error|Exception)\b")


class RayLauncher(KeptLauncher):
    """Starts an actor for each worker, which claims a device, or cores where there is none.

    Args:
        workers: how many; None: one for each device of the cluster, or for each of its machines
            where it computes on CPUs.
        address: of an existing cluster, or "auto" for the one that this machine belongs to; None:
            what RAY_ADDRESS says, else a cluster of this machine alone, which ends with the run.
        config: of the model: on which backend it is, and whether it is spread.
        most: start no more than so many. Each has what it would have among all.

    Raises:
        MissingExtraError: Ray is not installed.
        WorkerError: the cluster cannot be reached.
        UsageError: it has no such devices.
    """

    def __init__(
        self,
        workers: int | None,
        address: str | None,
        config: RunConfig,
        *,
        most: int | None = None,
    ) -> None:
        self._ray = _import_ray()
        self._actors: dict[int, Any] = {}
        self._keeping: dict[int, Any] = {}  # Ray's references to what actors do, by slot
        self._begin(workers, address)
        try:
            self._claim, count = self._room(workers, config)
            count = min(count, most or count)
            super().__init__(count, self._ray.util.get_node_ip_address())
            for slot in range(count):
                self.revive(slot)
        except BaseException:
            self._ray.shutdown()
            raise

    def revive(self, slot: int) -> bool:
        actor = self._ray.remote(max_restarts=0, **self._claim)(_Keeper).remote()
        self._keeping[slot] = actor.keep.remote(self.control.text, slot)
        self._actors[slot] = actor
        return True

    def start(self, slot: int, place: Place) -> None:
        if slot not in self._hosts and self._failed(slot) is not None:
            self.revive(slot)  # nothing comes of the actor that there is
        super().start(slot, place)

    def ended(self, slot: int) -> str | None:
        found = super().ended(slot)
        if found is None and slot in self._wanted:
            found = self._failed(slot)
            if found is not None:
                del self._wanted[slot]
                self._ended[slot] = found
        return found

    def _failed(self, slot: int) -> str | None:
        """Why an actor that is not there will not come; None while it still may."""
        done, _ = self._ray.wait([self._keeping[slot]], timeout=0)
        if not done:
            return None
        try:
            said = self._ray.get(done[0])
        except Exception as error:  # noqa: BLE001 - whatever Ray has to say of it
            return f"Ray could not start it: {_words(error)}"
        return said or "its place never came"

    def close(self) -> None:
        super().close()
        self._actors.clear()
        self._keeping.clear()
        self._ray.shutdown()

    def _begin(self, workers: int | None, address: str | None) -> None:
        """Join the cluster, or begin one."""
        # Nobody asked to be counted.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        address = address or os.environ.get("RAY_ADDRESS") or "local"
        own: dict[str, Any] = {}
        if address == "local":
            own = {"num_cpus": max(cores(), workers or 1), "include_dashboard": False}
        was = signal.getsignal(signal.SIGTERM)
        try:
            self._ray.init(address=address, log_to_driver=False, logging_level="error", **own)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise WorkerError(
                f"The Ray cluster '{address}' cannot be reached: {_words(error)}",
                hint="`ray status` says whether there is one here; without --ray-address this "
                "machine is used alone. Where the cluster asks for a token, RAY_AUTH_MODE=token "
                "must be set here too.",
            ) from error
        finally:
            # Ray would end this process in its own way.
            with contextlib.suppress(ValueError):
                signal.signal(signal.SIGTERM, was)

    def _room(self, workers: int | None, config: RunConfig) -> tuple[dict[str, Any], int]:
        """What a worker claims, and how many there are."""
        there = self._ray.cluster_resources()
        name = config.model.backend
        if name == "auto":
            name = next((kind for kind, has in _RESOURCES.items() if there.get(has)), "cpu")
        if name in _RESOURCES:
            return self._devices(
                workers,
                _RESOURCES[name],
                int(there.get(_RESOURCES[name], 0)),
                spread=config.model.device_map is not None,
            )
        machines = [node for node in self._ray.nodes() if node["Alive"]]
        count = workers or len(machines)
        each = int(there.get("CPU", 1)) // count
        return {"num_cpus": max(1, each)}, count

    def _devices(
        self, workers: int | None, kind: str, there: int, *, spread: bool
    ) -> tuple[dict[str, Any], int]:
        if not there:
            raise UsageError(
                f"The Ray cluster has no {kind}.", hint="--backend cpu computes without."
            )
        count = workers or (1 if spread else there)
        each = max(1, there // count) if spread else 1
        claim = {"num_gpus": each} if kind == "GPU" else {"resources": {kind: each}}
        return {"num_cpus": 1, **claim}, count


class _Keeper:
    """The actor."""

    def keep(self, control: str, slot: int) -> str | None:
        """Keep a worker until the launcher is gone; why it could not be kept."""
        try:
            keep(Place.parse(control), slot, {})
        except WorkerError as error:
            return error.message
        return None


def _words(error: Exception) -> str:
    """The first line of an error, and the last one where that is the error behind it."""
    lines = [line.strip() for line in _COLOURS.sub("", str(error)).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    behind = len(lines) > 1 and _BEHIND.match(lines[-1])
    return f"{lines[0].rstrip('.:')}: {lines[-1]}" if behind else lines[0]


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError(
            "Workers on Ray need the package ray, which is not installed.",
            hint="pip install 'retake[ray]'",
        ) from error
    return ray
