"""A clip, and the module that lmms-eval's side talks to retake with."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from retake.core.benchmark import Sample
from tests.integrations.lmms_task import making

_SIDE = Path(__file__).parents[2] / "integrations" / "lmms-eval" / "retake_lmms_eval"


@pytest.fixture(scope="session")
def process_module() -> ModuleType:
    """`retake_lmms_eval.process`, which needs no lmms-eval."""
    spec = importlib.util.spec_from_file_location("retake_lmms_process", _SIDE / "process.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def task(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Sample]]:
    """The local task's folder, and its samples in the order of the task."""
    folder = tmp_path_factory.mktemp("lmms-task")
    return folder, making.make(folder)
