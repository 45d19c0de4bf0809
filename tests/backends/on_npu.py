"""What only a device of its own shows; run by test_npu.py on the simulated Ascend NPU.

Not collected by name: importing `torch_npu` changes torch for the whole process.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
import torch_npu
from click.testing import CliRunner
from retake_cli.main import cli
from torch import nn

import retake
from retake.backends import npu
from retake.core.attention import attend_eager
from retake.loading import make_backend
from tests.backends import ascend
from tests.tiny import MAKERS

REFUSED = torch_npu.RefusedError


def _on(device: str, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).to(device, dtype)


def test_auto_finds_it() -> None:
    """`auto` takes the device that is there, in the dtype that it computes best in."""
    backend = make_backend("auto", "sdpa")
    assert backend.device == torch.device("npu", 0)
    assert backend.default_dtype is torch.bfloat16
    assert "fused attention" in backend.describe()


@pytest.mark.parametrize(
    "call",
    [
        lambda x: nn.functional.max_pool1d(x[None], 3),
        lambda x: nn.functional.max_pool2d(x[None], 3, return_indices=True),
        lambda x: nn.functional.adaptive_max_pool1d(x[None], 3),
        lambda x: x.double() * 2,
        lambda x: (x > 0).sort(),
        lambda x: x.topk(2, sorted=False),
        lambda x: x.scatter(0, torch.zeros(1, 8, dtype=torch.int64, device=x.device), x[:1]),
        lambda x: x.unique_consecutive(),
        lambda x: x.std(),
        lambda x: torch.fft.fft(x) * 2,
        lambda x: x.repeat_interleave(2**17, dim=0),
    ],
)
def test_refuses(call: Any) -> None:
    """Operators of the deny-list do not run, whichever way they are reached."""
    with torch.inference_mode(), pytest.raises(REFUSED):
        call(_on("npu", 8, 8))


@pytest.mark.parametrize("other", ["cpu", "npu:1"])
def test_refuses_what_is_elsewhere(other: str) -> None:
    """Tensors of different devices do not meet, in any place of an operator; numbers may."""
    here, there = _on("npu:0", 4, 4), _on(other, 4, 4)
    for call in (
        lambda: here + there,
        lambda: there @ here,
        lambda: torch.cat((here, there)),
        lambda: here.add_(there),
        lambda: torch.where(there > 0, here, here),
        lambda: nn.functional.embedding(there.long(), here),
    ):
        with pytest.raises(REFUSED, match="same device"):
            call()
    assert (here * torch.tensor(2.0)).device == here.device
    assert torch.equal((here + there.to(here.device)).cpu(), here.cpu() + there.cpu())


def test_counts_copies() -> None:
    """Copies between host and device are counted in bytes, by direction."""
    before = Counter(torch_npu.transfers)
    here = torch.ones(256).to("npu:1")
    here[:16].cpu()
    here.sum().item()
    made = Counter(torch_npu.transfers)
    made.subtract(before)
    assert made["host", "npu:1"] == 1024
    assert made["npu:1", "host"] == 64 + 4


def test_views_share_memory() -> None:
    """Writing to a view writes to what it is a view of, also through `out=`."""
    held = torch.zeros(4, 6, device="npu")
    held[1:3, ::2] = 1
    torch.add(held[0], 3, out=held[3])
    assert held.cpu().tolist() == [[0.0] * 6, [1.0, 0.0] * 3, [1.0, 0.0] * 3, [3.0] * 6]


@pytest.mark.parametrize("past", [0, 5, 3000])
def test_fused_attention_is_used(past: int) -> None:
    """A chunk runs in one call, causal from its last key; a single token needs no mask."""
    backend = npu.NPU()
    for count, mode in ((7, 3), (1, 0)):
        before = torch_npu.attention.calls.get(mode, 0)
        queries = _on("npu", 1, 4, count, 16)
        keys, values = _on("npu", 2, 1, 2, past + count, 16)
        made = backend.attend(queries, keys, values, 0.25)
        assert torch_npu.attention.calls[mode] == before + 1
        wanted = attend_eager(queries.cpu(), keys.cpu(), values.cpu(), 0.25)
        torch.testing.assert_close(made.cpu(), wanted, atol=2e-5, rtol=2e-5)


def test_older_products_attend_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the fused attention is not documented to run, the portable path does, and says so."""
    monkeypatch.setattr(torch.npu, "get_device_name", lambda device=None: "Ascend310P3")
    before = dict(torch_npu.attention.calls)
    queries = _on("npu", 1, 4, 3, 16)
    keys, values = _on("npu", 2, 1, 2, 9, 16)
    made = npu.NPU().attend(queries, keys, values, 0.25)
    assert torch_npu.attention.calls == before
    wanted = attend_eager(queries.cpu(), keys.cpu(), values.cpu(), 0.25)
    torch.testing.assert_close(made.cpu(), wanted, atol=2e-5, rtol=2e-5)
    assert "in blocks" in npu.NPU().describe()


def test_a_video_is_not_sent_back(checkpoint: Path, clip: Path) -> None:
    """Watching copies frames to the device, and from it only numbers that are decided on."""
    model = retake.load(checkpoint, backend="npu", keep_ratio=0.3)
    torch_npu.transfers.clear()
    memory = model.watch(clip)
    back = sum(size for (_, to), size in torch_npu.transfers.items() if to == "host")
    assert torch_npu.transfers["host", "npu:0"] > 0
    width = model.adapter.model.config.text_config.hidden_size
    features = memory.compression.tokens_selected * width * model.adapter.dtype.itemsize
    assert back < features / 2


def test_spread_over_both(clip: Path, tmp_path: Path) -> None:
    """A model whose layers are on two devices keeps and answers what it does on the CPU."""
    language = "model.language_model"
    first = ("model.visual", f"{language}.embed_tokens", f"{language}.layers.0")
    second = (f"{language}.layers.1", f"{language}.norm", f"{language}.rotary_emb", "lm_head")
    spread = {"device_map": {**dict.fromkeys(first, 0), **dict.fromkeys(second, 1)}}
    folder = MAKERS["qwen2-vl"](tmp_path / "model")
    options: Any = {"video": {"long_side": 112}, "generate": {"max_new_tokens": 5}}
    made = []
    for given in ({"backend": "npu", **spread}, {"backend": "cpu"}):
        model = retake.load(folder, dtype="float32", keep_ratio=0.3, **given, **options)
        memory = model.watch(clip)
        made.append((*(kept.tolist() for kept in memory.kept), model.ask("Why?", memory).text))
        places = [str(layer.keys.device) for layer in memory.cache.layers]
        assert places == (["npu:0", "npu:1"] if given["backend"] == "npu" else ["cpu", "cpu"])
    assert made[0] == made[1]


def test_random_answers_are_the_devices(checkpoint: Path, clip: Path) -> None:
    """A sampled answer is the same for a seed, and leaves the device's random state alone."""
    sampling = {"do_sample": True, "temperature": 2.0, "max_new_tokens": 6}
    model = retake.load(checkpoint, backend="npu", keep_ratio=0.3, generate=sampling)
    memory = model.watch(clip)
    torch.manual_seed(1)
    state = torch.npu.get_rng_state("npu:1"), torch.npu.get_rng_state()
    answers = [model.ask("What happens?", memory).text for _ in range(2)]
    assert answers[0] == answers[1]
    for before, after in zip(
        state, (torch.npu.get_rng_state("npu:1"), torch.npu.get_rng_state()), strict=True
    ):
        assert torch.equal(before, after)


def test_a_whole_watch(tmp_path: Path) -> None:
    """`retake watch` keeps the pairs that it keeps on the CPU."""
    held = {}
    for backend in ("npu", "cpu"):
        path = str(tmp_path / f"{backend}.retake")
        command = ["watch", "clip:short", "-o", path, "--backend", backend, "--dtype", "float32"]
        command += ["--compressor", "pivotkv", "--keep-ratio", "0.25"]
        result = CliRunner().invoke(cli, command)
        assert result.exit_code == 0, result.output
        held[backend] = retake.load_memory(path)
    assert held["npu"].compression == held["cpu"].compression
    for mine, theirs in zip(held["npu"].kept, held["cpu"].kept, strict=True):
        assert mine.tolist() == theirs.tolist()


def test_doctor_sees_it() -> None:
    """`retake doctor` tries the device's attention against the plain one."""
    result = CliRunner().invoke(cli, ["doctor", "--json"])
    checks = {check["name"]: check for check in json.loads(result.stdout)["checks"]}
    assert checks["npu"]["status"] == "ok"
    assert "Ascend910B" in checks["npu"]["detail"]


def test_every_reason_is_of_an_operator() -> None:
    """The deny-list names operators that torch has."""
    for name in ascend.DENIED:
        assert hasattr(torch.ops.aten, name), name
