"""What becomes of Ray actors that never come, with Ray itself pretended."""

from types import SimpleNamespace
from typing import Any

import pytest

from retake.core.config import RunConfig
from retake.evaluation.scale.launchers import ray as module
from retake.evaluation.scale.launchers.ray import RayLauncher
from retake.evaluation.scale.wire import Place

PLACE = Place("127.0.0.1", 1, b"k" * 32)


class Cluster:
    """One machine, on which actors come to what they are told to: by turns, an error or a text."""

    def __init__(self) -> None:
        self.asked = 0
        self.claims: list[dict[str, Any]] = []
        self.ends: dict[int, Exception | str | None] = {}
        self.util = SimpleNamespace(get_node_ip_address=lambda: "127.0.0.1")

    def init(self, **_: Any) -> None:
        return None

    def shutdown(self) -> None:
        return None

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0}

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True}]

    def remote(self, **claim: Any) -> Any:
        self.claims.append(claim)
        keep = SimpleNamespace(remote=self._keep)
        return lambda kind: SimpleNamespace(remote=lambda: SimpleNamespace(keep=keep))

    def _keep(self, control: str, slot: int) -> int:
        self.asked += 1
        return self.asked

    def wait(self, references: list[int], timeout: float) -> tuple[list[int], list[int]]:
        assert timeout == 0
        done = [each for each in references if each in self.ends]
        return done, [each for each in references if each not in self.ends]

    def get(self, reference: int) -> Any:
        found = self.ends[reference]
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """In the place of Ray."""
    made = Cluster()
    monkeypatch.setattr(module, "_import_ray", lambda: made)
    return made


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (ValueError("The actor died.\nmore\nof it"), "Ray could not start it: The actor died."),
        (
            ValueError("Not imported:\n  at\n\nModuleNotFoundError: retake\n"),
            "Not imported: ModuleNotFoundError: retake",
        ),
        (ValueError(), "Ray could not start it: ValueError"),
        ("The process that writes cannot be reached: no way.", "cannot be reached: no way"),
        (None, "its place never came"),
    ],
)
def test_an_actor_that_never_comes(
    cluster: Cluster, end: Exception | str | None, said: str
) -> None:
    """It is said why, and another actor is asked for when the worker is started again."""
    with RayLauncher(1, None, RunConfig()) as launcher:
        launcher.start(0, PLACE)
        assert launcher.ended(0) is None
        assert launcher.coming(0)
        cluster.ends[1] = end
        assert said in str(launcher.ended(0))
        assert not launcher.coming(0)
        launcher.start(0, PLACE)
        assert cluster.asked == 2
        assert launcher.ended(0) is None
        assert launcher.coming(0)


def test_few_videos_left(cluster: Cluster) -> None:
    """No more actors than are needed, each with what it would have among all."""
    with RayLauncher(2, None, RunConfig(), most=1) as launcher:
        assert launcher.slots == 1
        assert [claim["num_cpus"] for claim in cluster.claims] == [1]
    with RayLauncher(2, None, RunConfig(), most=5) as launcher:
        assert launcher.slots == 2
