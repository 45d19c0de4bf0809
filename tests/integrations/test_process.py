"""retake's process, spoken to as lmms-eval's side does."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import retake
from retake.core.benchmark import Sample

SETTINGS = {"max_new_tokens": 4, "temperature": 0.0, "until": ["\n\n"], "image_aspect_ratio": "x"}


def messages(sample: Sample) -> list[dict[str, Any]]:
    video, text = {"type": "video", "url": str(sample.video)}, {"type": "text"}
    return [{"role": "user", "content": [video, {**text, "text": sample.question}]}]


def test_it_answers_as_the_api_does(
    process_module: ModuleType, task: tuple[Path, list[Sample]]
) -> None:
    samples = task[1][:3]
    requests: list[dict[str, Any]] = [
        {"task": "t", "settings": SETTINGS, "repeat": 0, "messages": messages(samples[0])},
        {"task": "t", "settings": SETTINGS, "repeat": 0, "messages": messages(samples[1])},
        {
            "task": "t",
            "settings": SETTINGS,
            "repeat": 0,
            "visuals": [samples[2].video],
            "context": samples[2].question,
        },
    ]
    told: list[str] = []
    done: list[int] = []
    process = process_module.RetakeProcess(sys.executable, {"keep_ratio": 0.5})
    try:
        assert process.ready["config"]["prefill"]["keep_ratio"] == 0.5
        answers, watched = process.answer(requests, warn=told.append, done=done.append)
        # A request that is refused does not end the process.
        frames: dict[str, Any] = {
            "task": "mine",
            "settings": SETTINGS,
            "repeat": 0,
            "context": "Which?",
        }
        frames["visuals"] = [object()]
        with pytest.raises(process_module.RetakeError, match=r"'mine' gives a builtins\.object"):
            process.answer([frames], warn=told.append, done=done.append)
        again, _ = process.answer(requests[:1], warn=told.append, done=done.append)
    finally:
        process.close()
    model = retake.load(keep_ratio=0.5)
    texts = []
    for sample in samples:
        memory = model.watch(sample.video)
        texts.append(model.ask(sample.question, memory, max_new_tokens=4).text)
    assert [text for text, _ in answers] == texts
    assert again == answers[:1]
    assert watched == len({sample.video for sample in samples})
    assert sum(done) == 4
    assert told == ["The task 't': settings left unread: image_aspect_ratio=x."]


def test_a_wrong_argument_is_told_and_ends_it(process_module: ModuleType) -> None:
    with pytest.raises(process_module.RetakeError, match="Did you mean 'keep_ratio'"):
        process_module.RetakeProcess(sys.executable, {"keep_ratios": 0.5})


def test_a_process_that_is_gone_is_told(process_module: ModuleType) -> None:
    process = process_module.RetakeProcess(sys.executable, {"keep_ratio": 0.5})
    process._process.kill()
    process._process.wait()
    with pytest.raises(process_module.RetakeError, match="ended with exit code -9"):
        process.answer([], warn=print, done=print)
    process.close()


def test_a_python_without_retake_is_told(process_module: ModuleType, tmp_path: Path) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(process_module.RetakeError, match="Is retake installed"):
        process_module.RetakeProcess(str(program), {})


def test_where_retake_is_must_be_said(
    process_module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(process_module.VARIABLE, raising=False)
    with pytest.raises(process_module.RetakeError, match="--model_args python="):
        process_module.find_python()
    with pytest.raises(process_module.RetakeError, match="no program '/nowhere/python'"):
        process_module.find_python("/nowhere/python")
    monkeypatch.setenv(process_module.VARIABLE, sys.executable)
    assert process_module.find_python() == sys.executable
