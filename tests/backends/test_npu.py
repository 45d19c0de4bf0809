"""The Ascend backend, on a simulated device in a process of its own."""

import json
import os
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
import torch
from click.testing import CliRunner
from retake_cli.main import cli
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import retake
from retake import VisualTokens, selectors
from retake.backends import npu
from retake.loading import make_backend
from tests.backends import ascend
from tests.parts import COMPRESSORS, SELECTORS

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Python with the simulated `torch_npu` on its path."""
    places = [str(_HERE / "simulated_npu"), str(_ROOT)]
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places), "OMP_NUM_THREADS": "1"},
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_on_the_device() -> None:
    """The conformance suite of backends, and what only a device of its own shows."""
    suites = ("tests/conformance/test_backends.py", "tests/backends/on_npu.py")
    done = _python(
        "-m", "pytest", *suites, "-k", "npu", "-p", "no:cacheprovider", "-rs", "--tb=short"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout.splitlines()[-1]


def test_a_whole_run() -> None:
    """`retake run` as a process gives the answers, and fills the caches, that it does on the CPU.

    `retake watch` is compared in `on_npu.py`.
    """
    command = ["run", "clip:short", "--json", "--compressor", "pivotkv", "--keep-ratio", "0.25"]
    command += ["--dtype", "float32", "--backend"]
    done = _python("-m", "retake_cli", *command, "npu")
    assert done.returncode == 0, done.stdout + done.stderr
    result = CliRunner().invoke(cli, [*command, "cpu"])
    assert result.exit_code == 0, result.output
    here, there = json.loads(done.stdout), json.loads(result.stdout)
    assert here["config"]["model"]["backend"] == "npu"
    for name in ("answer", "token_ids", "cache_tokens"):
        assert [each[name] for each in here["answers"]] == [each[name] for each in there["answers"]]


class _Denying(TorchDispatchMode):
    """Fails on a denied operator, on whatever device it runs."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        assert name not in ascend.DENIED, f"{func}: {ascend.DENIED[name]}"
        if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"):
            # In inference mode these arrive whole, and what they are made of unseen.
            with self:
                result = func.decompose(*args, **kwargs or {})
            if result is not NotImplemented:
                return result
        return func(*args, **kwargs or {})


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
@pytest.mark.parametrize(
    "call",
    [
        lambda x: nn.functional.max_pool1d(x[None], 3),
        lambda x: nn.functional.max_pool2d(x[None], 3),
        lambda x: nn.functional.adaptive_max_pool1d(x[None], 3),
        lambda x: x.scatter(0, torch.zeros(1, 8, dtype=torch.int64), x[:1]),
        lambda x: x.unique_consecutive(),
        lambda x: x.std(),
    ],
)
def test_what_is_denied_is_noticed(mode: Any, call: Any) -> None:
    """The tests below would fail, however an operator is reached."""
    with mode(), _Denying(), pytest.raises(AssertionError, match=r"aten\."):
        call(torch.randn(8, 8))


@pytest.mark.parametrize(
    ("selector", "compressor"),
    [*((each, "pivotkv") for each in SELECTORS), *(("dpselect", each) for each in COMPRESSORS)],
)
def test_nothing_denied_is_used(load: Any, clip: Path, selector: str, compressor: str) -> None:
    """Watching and asking, with every registered part, in operators that every device has."""
    ratio = 0.3 if compressor != "none" else None
    model = load(selector=selector, compressor=compressor, keep_ratio=ratio, attention="eager")
    question = "What happens?"
    with _Denying():
        memory = model.watch(clip, questions=[question])
        model.ask_many([question, question if model.needs_question else "Why?"], memory)
        model.ask(question, memory)


@pytest.mark.parametrize("selector", selectors.names())
def test_no_selector_uses_what_is_denied(selector: str) -> None:
    """Nor when it drops steps, which the options' defaults may not."""
    cls: Any = selectors.get(selector)
    takes = "keep_ratio" in attrs.fields_dict(cls)
    times = torch.arange(9, dtype=torch.float64)
    tokens = VisualTokens(torch.randn(9, 4, 8), times, (2, 2), relevance=torch.rand(9))
    with _Denying():
        (cls(keep_ratio=0.5) if takes else cls()).select(tokens)


def test_without_torch_npu() -> None:
    """Where torch_npu is missing, the error says which release of it to install."""
    release = torch.__version__.split("+")[0]
    with pytest.raises(retake.UsageError, match="torch_npu is not installed") as caught:
        make_backend("npu", "sdpa")
    assert f"pip install 'torch_npu=={release}.*'" in caught.value.message
    assert "CANN" in caught.value.message


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A `torch_npu` that is found."""
    monkeypatch.setattr(npu, "find_spec", lambda _: ModuleSpec("torch_npu", None))
    return monkeypatch


def test_without_cann(installed: pytest.MonkeyPatch) -> None:
    """Where its libraries are missing, what the import said, and what to source."""

    def fails() -> Any:
        raise ImportError("libhccl.so: cannot open shared object file")

    installed.setattr(npu, "_npu", fails)
    reason = npu.NPU.unavailable()
    assert reason is not None
    assert "libhccl.so" in reason
    assert "set_env.sh" in reason


@pytest.mark.parametrize(("there", "reason"), [(True, None), (False, "no Ascend device")])
def test_with_torch_npu(installed: pytest.MonkeyPatch, there: bool, reason: str | None) -> None:
    """Installed, it is usable where it finds a device."""
    installed.setattr(npu, "_npu", lambda: SimpleNamespace(is_available=lambda: there))
    found = npu.NPU.unavailable()
    assert found is None if reason is None else reason in (found or "")


@pytest.mark.parametrize(("able", "dtype"), [(True, torch.bfloat16), (False, torch.float16)])
def test_default_dtype(monkeypatch: pytest.MonkeyPatch, able: bool, dtype: torch.dtype) -> None:
    """bfloat16 where the product has it."""
    monkeypatch.setattr(npu, "_npu", lambda: SimpleNamespace(is_bf16_supported=lambda: able))
    assert npu.NPU().default_dtype is dtype
