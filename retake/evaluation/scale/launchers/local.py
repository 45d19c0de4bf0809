"""Workers on this machine: processes that this one starts, each with a device of its own."""

import time
from collections.abc import Mapping, Sequence

from retake.evaluation.scale.launchers.child import GOODBYE, MODULE, Child
from retake.evaluation.scale.launchers.launcher import Launcher
from retake.evaluation.scale.wire import Place


class LocalLauncher(Launcher):
    """Starts a process for each of several environments.

    Args:
        environments: what each worker has besides this process's, such as its device.
        module: what a worker runs.
    """

    def __init__(self, environments: Sequence[Mapping[str, str]], module: str = MODULE) -> None:
        self._module = module
        self.slots = len(environments)
        self._environments = environments
        self._children: dict[int, Child] = {}

    def start(self, slot: int, place: Place) -> None:
        before = self._children.pop(slot, None)
        if before is not None:
            before.close()
        self._children[slot] = Child(place, slot, self._environments[slot], self._module)

    def ended(self, slot: int) -> str | None:
        return self._children[slot].ended()

    def kill(self, slot: int) -> None:
        self._children[slot].kill()

    def close(self) -> None:
        deadline = time.monotonic() + GOODBYE
        while self._children:
            self._children.popitem()[1].close(deadline)
