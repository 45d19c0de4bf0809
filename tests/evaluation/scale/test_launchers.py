"""How workers' processes are started and ended, and which devices they get."""

import os
import signal
import threading
from functools import partial

import attrs
import pytest
import torch

from retake.backends.cpu import CPU
from retake.core.backend import Backend
from retake.core.errors import UsageError, WorkerError
from retake.evaluation.scale.launchers import child as child_module
from retake.evaluation.scale.launchers import devices, keepers, local
from retake.evaluation.scale.launchers.child import Child
from retake.evaluation.scale.launchers.keepers import KeptLauncher, keep
from retake.evaluation.scale.launchers.local import LocalLauncher
from retake.evaluation.scale.launchers.torchrun import Ranks
from retake.evaluation.scale.wire import Place
from tests.evaluation.scale.waiting import until

LIGHT = "tests.evaluation.scale.light"
PLACE = Place("127.0.0.1", 1, b"k" * 32)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not end by itself, as these workers do not, is not waited for long."""
    for each in (keepers, local):
        monkeypatch.setattr(each, "GOODBYE", 0.3)


@attrs.frozen
class Card(Backend):
    """A kind of device of which there are four."""

    name = "card"
    visible = "CARDS"

    @property
    def device(self) -> torch.device:
        return torch.device("meta")

    def random_devices(self) -> list[int]:
        return [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("workers", "spread", "given", "expected"),
    [
        (2, False, {}, ["0", "1"]),
        (4, False, {"CARDS": "5, 7"}, ["5", "7", "5", "7"]),
        (2, True, {}, ["0,1", "2,3"]),
        (1, True, {"CARDS": "a,b,c"}, ["a,b,c"]),
    ],
)
def test_each_worker_has_its_device(
    workers: int, spread: bool, given: dict[str, str], expected: list[str]
) -> None:
    """Of those that this process may see; a model that is spread has its part of them."""
    found = devices.environments(Card(), workers, spread=spread, given=given)
    assert [each["CARDS"] for each in found] == expected
    assert devices.device_count(Card()) == 4


def test_more_workers_than_parts() -> None:
    """A spread model needs a device of its own at least."""
    with pytest.raises(UsageError, match="5 workers cannot spread their models over 4 devices"):
        devices.environments(Card(), 5, spread=True, given={})


def test_cores_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the user says how many threads there are."""
    monkeypatch.setattr(devices, "cores", lambda: 8)
    assert devices.environments(CPU(), 3, spread=False, given={}) == [{"OMP_NUM_THREADS": "2"}] * 3
    assert devices.environments(CPU(), 20, spread=False, given={})[0] == {"OMP_NUM_THREADS": "1"}
    assert devices.environments(CPU(), 2, spread=False, given={"OMP_NUM_THREADS": "5"}) == [{}, {}]
    assert devices.device_count(CPU()) == 1


@pytest.mark.parametrize(
    ("slot", "said"),
    [
        (7, "it ended by itself with code 5: RuntimeError: it broke"),
        (8, "it was ended by SIGKILL, as the system does when memory runs out"),
    ],
)
def test_why_a_process_ended(slot: int, said: str) -> None:
    """Its exit code, and the last line that it wrote."""
    child = Child(PLACE, slot, {}, LIGHT)
    assert until(child.ended) == said
    child.close()


def test_one_that_leaves_another_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """More may come from it, for which nobody is held up; after a while what came is all."""
    monkeypatch.setattr(child_module, "_ARRIVING", 1000.0)
    child = Child(PLACE, 6, {}, LIGHT)
    until(lambda: child._process.poll() is not None)
    assert child.ended() is None
    until(lambda: "it left" in child.last_words())
    monkeypatch.setattr(child_module, "_ARRIVING", 0.0)
    assert child.ended() == "it ended by itself with code 3: RuntimeError: it left"
    child.close()
    until(lambda: child._log.over)


def test_a_stopped_process_can_be_ended() -> None:
    """As one that hangs must be."""
    launcher = LocalLauncher([{}, {}], LIGHT)
    with launcher:
        launcher.start(0, PLACE)
        launcher.start(1, PLACE)
        first = launcher._children[0]
        assert launcher.ended(0) is None
        until(first.last_words)
        os.kill(first.pid, signal.SIGSTOP)
        launcher.kill(0)
        assert until(lambda: launcher.ended(0)) == "it was ended"
        launcher.start(0, PLACE)
        assert launcher.ended(0) is None
        pids = [child.pid for child in launcher._children.values()]
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)


def test_a_process_has_no_rank_and_no_key_in_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    """It computes alone, and listings of processes show no secret."""
    monkeypatch.setenv("RANK", "3")
    child = Child(PLACE, 1, {"MINE": "yes"}, LIGHT)
    try:
        until(child.last_words)
        with open(f"/proc/{child.pid}/environ", "rb") as file:
            environment = file.read().split(b"\0")
        with open(f"/proc/{child.pid}/cmdline", "rb") as file:
            assert PLACE.key.hex().encode() not in file.read()
        assert b"MINE=yes" in environment
        assert not any(each.startswith(b"RANK=") for each in environment)
        assert not any(PLACE.key.hex().encode() in each for each in environment)
    finally:
        child.close()


class Kept(KeptLauncher):
    """Keepers that are threads."""

    def __init__(self, slots: int, revives: bool = True) -> None:
        super().__init__(slots, "127.0.0.1")
        self.revives = revives
        self.threads: list[threading.Thread] = []
        self.errors: list[str] = []

    def revive(self, slot: int) -> bool:
        if self.revives:
            thread = threading.Thread(target=self._keep, args=(slot,))
            self.threads.append(thread)
            thread.start()
        return self.revives

    def _keep(self, slot: int) -> None:
        try:
            keep(self.control, slot, {})
        except WorkerError as error:
            self.errors.append(error.message)


@pytest.fixture
def _light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keepers, "Child", partial(child_module.Child, module=LIGHT))


@pytest.mark.usefixtures("_light")
def test_keepers_start_and_end_workers() -> None:
    """Before and after they have come; and say why one ended."""
    launcher = Kept(9)
    with launcher:
        for slot in (1, 7):
            launcher.start(slot, PLACE)
            assert launcher.coming(slot)
            launcher.revive(slot)
        assert until(lambda: launcher.ended(7)) == (
            "it ended by itself with code 5: RuntimeError: it broke"
        )
        until(lambda: launcher.ended(1) is None and not launcher.coming(1))
        launcher.kill(1)
        assert until(lambda: launcher.ended(1)) == "it was ended"
        launcher.start(1, PLACE)
        assert launcher.ended(1) is None
        launcher.start(2, PLACE)
        launcher.kill(2)
        assert launcher.ended(2) == "its place never came"
    for thread in launcher.threads:
        thread.join(timeout=20)
        assert not thread.is_alive()
    assert launcher.errors == []


@pytest.mark.usefixtures("_light")
def test_a_keeper_that_is_gone() -> None:
    """Its worker counts as ended; another keeper comes where there can be one."""
    launcher = Kept(1)
    with launcher:
        launcher.start(0, PLACE)
        launcher.revive(0)
        until(lambda: launcher.ended(0) is None and 0 in launcher._keepers)
        launcher._hub.drop(launcher._keepers[0])
        assert "its keeper on" in until(lambda: launcher.ended(0))
        launcher.start(0, PLACE)
        until(lambda: launcher.ended(0) is None and 0 in launcher._keepers)
        launcher.revives = False
        launcher._hub.drop(launcher._keepers[0])
        until(lambda: launcher.ended(0))
        launcher.start(0, PLACE)
        assert "is gone" in str(launcher.ended(0))
    for thread in launcher.threads:
        thread.join(timeout=20)
        assert not thread.is_alive()
    assert launcher.errors == ["The process that writes the run is gone."] * 2


TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "node-1",
    "MASTER_PORT": "29500",
}


def test_ranks() -> None:
    """By torchrun's variables, or by SLURM's."""
    ranks = Ranks.of(TORCHRUN)
    assert ranks == Ranks(3, 8, 1, 2, "node-1", 29500)
    slurm = {
        "SLURM_PROCID": "3",
        "SLURM_NTASKS": "8",
        "SLURM_LOCALID": "1",
        "SLURM_NTASKS_PER_NODE": "2",
        "MASTER_ADDR": "node-1",
        "MASTER_PORT": "29500",
    }
    assert Ranks.of(slurm) == ranks
    assert ranks.environment(Card(), spread=False) == {"CARDS": "1"}
    assert ranks.environment(Card(), spread=True) == {"CARDS": "2,3"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"RANK": ""}, "needs RANK in the environment"),
        ({"RANK": "x"}, "RANK must be a number from 0, got 'x'"),
        ({"RANK": "8"}, "RANK must be below WORLD_SIZE, got 8 of 8"),
        ({"MASTER_PORT": "no"}, "MASTER_PORT must be a number"),
    ],
)
def test_wrong_ranks(changes: dict[str, str], said: str) -> None:
    """What is missing or wrong, by name."""
    with pytest.raises(UsageError, match=said):
        Ranks.of({**TORCHRUN, **changes})
