"""Workers as torchrun or SLURM starts them: the same command once for each, told apart by rank.

The idea: rank 0 writes, the others keep a worker each, and so does rank 0. Where rank 0 listens is
published through PyTorch's own rendezvous store, to which the usual variables lead: RANK,
WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT; under SLURM the first three may be SLURM's own.
"""

import os
import time
from collections.abc import Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any

import attrs

from retake.core.backend import Backend
from retake.core.errors import UsageError, WorkerError
from retake.evaluation.scale.launchers.child import GOODBYE, Child
from retake.evaluation.scale.launchers.devices import environments
from retake.evaluation.scale.launchers.keepers import KeptLauncher, keep
from retake.evaluation.scale.wire import Place

_KEY = "retake/scale/control"
_LATE = 120
#: Seconds in which all ranks must have come.
PATIENCE = 600
# The usual names, and what SLURM calls the same.
_NAMES = {"RANK": "SLURM_PROCID", "WORLD_SIZE": "SLURM_NTASKS", "LOCAL_RANK": "SLURM_LOCALID"}
_MASTER = ("MASTER_ADDR", "MASTER_PORT")


@attrs.frozen
class Ranks:
    """Which of how many processes this one is.

    Attributes:
        rank: among all, from 0.
        world: how many there are.
        local: among those of this machine.
        local_world: how many there are on this machine, where that is known.
        host, port: of the rendezvous.
    """

    rank: int
    world: int
    local: int
    local_world: int | None
    host: str
    port: int

    @classmethod
    def of(cls, given: Mapping[str, str] | None = None) -> "Ranks":
        """As the environment says.

        Raises:
            UsageError: variables are missing, or are no numbers.
        """
        given = os.environ if given is None else given
        found = {
            name: given.get(name) or given.get(slurm) or "" for name, slurm in _NAMES.items()
        } | {name: given.get(name, "") for name in _MASTER}
        missing = [name for name, value in found.items() if not value]
        if missing:
            raise UsageError(
                f"--launcher torchrun needs {', '.join(missing)} in the environment.",
                hint="torchrun sets all of them: `torchrun --nproc-per-node 4 --no-python retake "
                "eval ...`. Under SLURM, srun sets the ranks; MASTER_ADDR and MASTER_PORT are "
                "yours to export.",
            )
        count = given.get("LOCAL_WORLD_SIZE") or given.get("SLURM_NTASKS_PER_NODE") or "0"
        numbers = {**{name: found[name] for name in (*_NAMES, "MASTER_PORT")}, "of": count}
        for name, value in numbers.items():
            if not value.isdecimal():
                raise UsageError(f"{name} must be a number from 0, got '{value}'.")
        rank, world = int(found["RANK"]), int(found["WORLD_SIZE"])
        if rank >= world:
            raise UsageError(f"RANK must be below WORLD_SIZE, got {rank} of {world}.")
        return cls(
            rank=rank,
            world=world,
            local=int(found["LOCAL_RANK"]),
            local_world=int(count) or None,
            host=found["MASTER_ADDR"],
            port=int(found["MASTER_PORT"]),
        )

    def environment(self, backend: Backend, *, spread: bool) -> dict[str, str]:
        """What this rank's worker has besides this process's: its device."""
        if backend.on_host:
            threads = os.environ.get("SLURM_CPUS_PER_TASK")
            given = "OMP_NUM_THREADS" in os.environ
            return {"OMP_NUM_THREADS": threads} if threads and not given else {}
        count = max(self.local_world or 1, self.local + 1)
        return environments(backend, count, spread=spread)[self.local]


class TorchrunLauncher(KeptLauncher):
    """Rank 0: publishes where it listens; keeps a worker itself, the other ranks keep theirs.

    Args:
        ranks: which process this is.
        environment: what its own worker has besides this process's.

    Raises:
        WorkerError: the rendezvous fails.
    """

    def __init__(self, ranks: Ranks, environment: Mapping[str, str]) -> None:
        super().__init__(ranks.world, ranks.host)
        self._environment = environment
        self._own: Child | None = None
        try:
            # The store must live as long as others may ask it.
            self._store = _store(ranks)
            self._store.set(_KEY, self.control.text)
        except BaseException:
            super().close()
            raise

    def revive(self, slot: int) -> bool:
        return False

    def start(self, slot: int, place: Place) -> None:
        if slot:
            super().start(slot, place)
            return
        if self._own is not None:
            self._own.close()
        self._own = Child(place, slot, self._environment)

    def ended(self, slot: int) -> str | None:
        if slot:
            return super().ended(slot)
        return self._own.ended() if self._own is not None else None

    def kill(self, slot: int) -> None:
        if slot:
            super().kill(slot)
        elif self._own is not None:
            self._own.kill()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is None:
            # Who comes late to what is over already should hear that it went well.
            self.gather(self.slots - 1, _LATE)
        self.close()

    def close(self) -> None:
        deadline = time.monotonic() + GOODBYE
        super().close()
        if self._own is not None:
            self._own.close(deadline)
            self._own = None


def keep_rank(ranks: Ranks, environment: Mapping[str, str]) -> None:
    """Any other rank: keep a worker until rank 0 says that it is over.

    Raises:
        WorkerError: rank 0 did not come, or is gone.
    """
    store = _store(ranks)
    try:
        control = Place.parse(store.get(_KEY).decode())
    except RuntimeError as error:
        raise _not_met(ranks, error) from error
    keep(control, ranks.rank, environment)


def _store(ranks: Ranks) -> Any:
    """PyTorch's store, in which ranks find each other."""
    from torch.distributed.rendezvous import rendezvous

    os.environ.update(
        RANK=str(ranks.rank),
        WORLD_SIZE=str(ranks.world),
        MASTER_ADDR=ranks.host,
        MASTER_PORT=str(ranks.port),
    )
    try:
        store, _, _ = next(iter(rendezvous("env://", timeout=timedelta(seconds=PATIENCE))))
    except (RuntimeError, ValueError, OSError) as error:
        raise _not_met(ranks, error) from error
    return store


def _not_met(ranks: Ranks, error: Exception) -> WorkerError:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return WorkerError(
        f"Rank {ranks.rank} of {ranks.world} met nobody at {ranks.host}:{ranks.port}: {first}",
        hint="Were all ranks started, and can they reach MASTER_ADDR at MASTER_PORT?",
    )
