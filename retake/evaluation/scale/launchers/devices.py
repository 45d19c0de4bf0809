"""Which devices a worker may use, as its environment says it."""

import os
from collections.abc import Mapping, Sequence

from retake.core.backend import Backend
from retake.core.errors import UsageError


def device_count(backend: Backend) -> int:
    """How many devices of a backend's kind this process may use; 1 where they have no numbers."""
    return max(1, len(backend.random_devices()))


def environments(
    backend: Backend, workers: int, *, spread: bool, given: Mapping[str, str] | None = None
) -> list[dict[str, str]]:
    """What each of so many workers on this machine has in its environment.

    Devices are handed out in turn, one to a worker; more workers than devices share them. On the
    CPU each gets its part of the cores, unless OMP_NUM_THREADS says how many.

    Args:
        backend: on which they compute.
        workers: how many.
        spread: a model is spread over several devices, so each worker gets its part of them.
        given: the environment of this process.

    Raises:
        UsageError: there are more workers than devices over which their models are spread.
    """
    given = os.environ if given is None else given
    if backend.on_host:
        return [_threads(workers, given)] * workers
    if not backend.visible:
        return [{}] * workers
    devices = _devices(backend, given)
    if spread:
        each = len(devices) // workers
        if each < 1:
            raise UsageError(
                f"{workers} workers cannot spread their models over {len(devices)} devices.",
                hint="Choose at most as many workers as there are devices.",
            )
        parts = [devices[at * each : (at + 1) * each] for at in range(workers)]
    else:
        parts = [[devices[at % len(devices)]] for at in range(workers)]
    return [{backend.visible: ",".join(part)} for part in parts]


def _devices(backend: Backend, given: Mapping[str, str]) -> Sequence[str]:
    """The devices by the names that the environment has for them."""
    named = given.get(backend.visible, "")
    known = [name.strip() for name in named.split(",") if name.strip()]
    return known or [str(number) for number in range(device_count(backend))]


def _threads(workers: int, given: Mapping[str, str]) -> dict[str, str]:
    if "OMP_NUM_THREADS" in given:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, cores() // workers))}


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
