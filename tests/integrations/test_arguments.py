"""lmms-eval's model arguments, as it splits them: what they set, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch

from retake import UsageError
from retake.integrations.lmms_eval.arguments import read_arguments


def test_names_set_keys_of_the_configuration() -> None:
    arguments = read_arguments(
        {
            "pretrained": "/models/qwen",
            "selector": "uniform",
            "compressor": "'pivotkv:pivot_score=1.0'",
            "keep_ratio": 0.25,
            "max_frames": 64,
            "video.fps": "null",
            "batch_size": "4",
            "seed": 7,
        }
    )
    config = arguments.config
    assert config.model.path == "/models/qwen"
    assert (config.selector.name, config.compressor.name) == ("uniform", "pivotkv")
    assert config.compressor.options == {"pivot_score": 1.0}
    assert (config.prefill.keep_ratio, config.prefill.budget) == (0.25, None)
    assert (config.video.max_frames, config.video.fps) == (64, None)
    assert (arguments.batch, config.seed) == (4, 7)


def test_options_of_parts_go_by_their_paths() -> None:
    config = read_arguments(
        {"selector.options.window": 5, "selector.options.per_patch": False, "selector": "dpselect"}
    ).config
    assert config.selector.options == {"window": 5, "per_patch": False}


def test_presets_and_files_lie_under_arguments(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("video: {long_side: 336}\nprefill: {chunk_frames: 16}\n")
    config = read_arguments(
        {"preset": "qwen2-vl/videomme", "config": str(file), "keep_ratio": 0.5}
    ).config
    assert (config.video.fps, config.video.long_side) == (4.0, 336)
    assert (config.prefill.chunk_frames, config.prefill.keep_ratio) == (16, 0.5)
    # The preset's budget gives way, as it does on the command line.
    assert config.prefill.budget is None


def test_a_folder_may_be_called_by_a_number() -> None:
    assert read_arguments({"pretrained": 2024}).config.model.path == "2024"


@pytest.mark.parametrize(
    ("device", "backend", "number"), [("cuda:1", "cuda", 1), ("cpu", "cpu", None)]
)
def test_a_device_chooses_the_backend(device: str, backend: str, number: int | None) -> None:
    arguments = read_arguments({"device": device})
    assert arguments.config.model.backend == backend
    assert arguments.device == torch.device(device)
    assert arguments.device.index == number


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"keep_ration": 0.5}, "Did you mean 'keep_ratio'"),
        ({"video.fsp": 2}, "fps"),
        ({"max_new_tokens": 8}, "--gen_kwargs max_new_tokens=…"),
        ({"generate.num_beams": 2}, "--gen_kwargs num_beams=…"),
        ({"budget": 100, "keep_ratio": 0.5}, "exclude each other"),
        ({"fps": 1, "video.fps": 2}, "gives? video.fps twice"),
        ({"device": "cpu", "backend": "cuda"}, "The device is cpu, the backend 'cuda'"),
        ({"device": "gpu7"}, "'gpu7' is no device"),
        ({"batch_size": "auto"}, "batch_size is a whole number"),
        ({"on_bad_video": "emtpy"}, "'empty'"),
        ({"stop_at_blank_line": 1}, "true or false"),
        ({"preset": "qwen2-vl/videomm"}, "qwen2-vl/videomme"),
    ],
)
def test_mistakes_are_named(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_arguments(given)
