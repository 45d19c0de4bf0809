"""Workers whose processes others keep: on other machines, or in processes that others started.

The idea: a *keeper* is a light process where a worker is to be. It starts the worker as its child
when it is told to, kills it when it is told to, and says when it has ended: so one that was killed
or that hangs is replaced there, by whatever means the keeper itself came to be. Keeper and worker
end when this process does.
"""

import platform
import queue
import threading
import time
from abc import abstractmethod
from collections.abc import Mapping

from retake.core.errors import WorkerError
from retake.evaluation.scale.hub import Hub
from retake.evaluation.scale.launchers.child import GOODBYE, Child
from retake.evaluation.scale.launchers.launcher import Launcher
from retake.evaluation.scale.wire import LineLostError, Place, connect

_TICK = 0.1


class KeptLauncher(Launcher):
    """Has keepers start and end workers.

    Args:
        slots: how many keepers there will be.
        host: by which this machine is reached from where they are.
    """

    def __init__(self, slots: int, host: str) -> None:
        self.slots = slots
        self.host = host
        self._hub = Hub(host)
        self._keepers: dict[int, int] = {}  # lines by slot
        self._hosts: dict[int, str] = {}
        self._wanted: dict[int, Place] = {}
        self._ended: dict[int, str] = {}

    @property
    def control(self) -> Place:
        """Where keepers report."""
        return self._hub.place

    @abstractmethod
    def revive(self, slot: int) -> bool:
        """Have a new keeper come, where one is gone; whether that can be."""

    def start(self, slot: int, place: Place) -> None:
        self._listen()
        self._ended.pop(slot, None)
        if slot in self._keepers:
            self._hub.send(self._keepers[slot], "start", place=place.text)
        elif slot not in self._hosts or self.revive(slot):
            self._wanted[slot] = place
        else:
            self._ended[slot] = f"its keeper on {self._hosts[slot]} is gone"

    def ended(self, slot: int) -> str | None:
        self._listen()
        return self._ended.get(slot)

    def kill(self, slot: int) -> None:
        if slot in self._keepers:
            self._hub.send(self._keepers[slot], "kill")
        elif self._wanted.pop(slot, None) is not None:
            self._ended[slot] = "its place never came"

    def coming(self, slot: int) -> bool:
        return slot in self._wanted

    def gather(self, keepers: int, seconds: float) -> None:
        """Wait until so many keepers have come, at most so long."""
        deadline = time.monotonic() + seconds
        while len(self._hosts) < keepers and time.monotonic() < deadline:
            self._listen(_TICK)

    def close(self) -> None:
        for line in self._keepers.values():
            self._hub.send(line, "end")
        deadline = time.monotonic() + GOODBYE + 2
        while self._keepers and time.monotonic() < deadline:
            self._listen(_TICK)
        self._hub.close()

    def _listen(self, seconds: float = 0.0) -> None:
        for event in self._hub.events(seconds):
            slots = [slot for slot, line in self._keepers.items() if line == event.line]
            message = event.message
            if message is None:
                for slot in slots:
                    del self._keepers[slot]
                    self._ended.setdefault(slot, f"its keeper on {self._hosts[slot]} is gone")
            elif message["kind"] == "keeper":
                self._welcome(int(message["slot"]), event.line, str(message["host"]))
            elif message["kind"] == "ended":
                for slot in slots:
                    self._ended[slot] = str(message["reason"])

    def _welcome(self, slot: int, line: int, host: str) -> None:
        if slot in self._keepers or not 0 <= slot < self.slots:
            self._hub.drop(line)
            return
        self._keepers[slot], self._hosts[slot] = line, host
        place = self._wanted.pop(slot, None)
        if place is not None:
            self._hub.send(line, "start", place=place.text)


def keep(control: Place, slot: int, environment: Mapping[str, str]) -> None:
    """Be a keeper, until it is told to end.

    Args:
        control: of the launcher.
        slot: its number.
        environment: what the worker has besides this process's.

    Raises:
        WorkerError: the launcher cannot be reached, or is gone.
    """
    try:
        line = connect(control)
        line.send("keeper", slot=slot, host=platform.node())
    except LineLostError as error:
        raise WorkerError(f"The process that writes cannot be reached: {error}.") from error
    heard: queue.SimpleQueue[dict[str, str] | None] = queue.SimpleQueue()

    def listen() -> None:
        try:
            while True:
                heard.put(line.receive())
        except LineLostError:
            heard.put(None)

    threading.Thread(target=listen, daemon=True).start()
    child: Child | None = None
    farewell = 0.0
    try:
        while True:
            try:
                message = heard.get(timeout=_TICK)
            except queue.Empty:
                message = {"kind": ""}
            if message is None:
                raise WorkerError("The process that writes the run is gone.")
            if message["kind"] == "end":
                farewell = time.monotonic() + GOODBYE
                return
            if message["kind"] == "start":
                if child is not None:
                    child.close()
                child = Child(Place.parse(message["place"]), slot, environment)
            elif message["kind"] == "kill" and child is not None:
                child.kill()
            reason = child.ended() if child is not None else None
            if child is not None and reason is not None:
                child.close()
                child = None
                line.send("ended", reason=reason)
    except LineLostError as error:
        raise WorkerError("The process that writes the run is gone.") from error
    finally:
        if child is not None:
            child.close(farewell)
        line.close()
