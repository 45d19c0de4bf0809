"""The real lmms-eval runs a task with retake; `bash .ci/lmms-eval` makes it an environment."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import retake
from retake.core.benchmark import Sample
from tests.integrations.lmms_task.making import TASK

#: The program `lmms-eval` of an environment with retake-lmms-eval.
VARIABLE = "RETAKE_LMMS_EVAL"

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get(VARIABLE),
        reason=f"lmms-eval needs another PyAV than retake: `bash .ci/lmms-eval` sets {VARIABLE}",
    ),
    # It imports for long, and reads the tasks that it has.
    pytest.mark.timeout(1800),
]
Task = tuple[Path, list[Sample]]


def run(folder: Path, output: Path, *more: str, launcher: tuple[str, ...] = ()) -> None:
    """Run the task, with retake in this Python."""
    program = os.environ[VARIABLE]
    start = [str(Path(program).parent / launcher[0]), *launcher[1:]] if launcher else [program]
    arguments = ["--model", "retake", "--tasks", TASK, "--include_path", ".", "--log_samples"]
    subprocess.run(
        [*start, "eval", *arguments, "--output_path", str(output), *more],
        cwd=folder,
        env={
            **os.environ,
            "RETAKE_PYTHON": sys.executable,
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_OFFLINE": "1",
            "HF_HOME": str(output / "hf"),
        },
        check=True,
    )


def read(output: Path) -> tuple[float, dict[int, str]]:
    """The score, and the answers by the number of the question."""
    (results,) = output.rglob("*_results.json")
    score: Any = json.loads(results.read_text())["results"][TASK]["right,none"]
    answers = {}
    for path in output.rglob(f"*_samples_{TASK}.jsonl"):
        for line in path.read_text().splitlines():
            sample = json.loads(line)
            answers[sample["doc_id"]] = sample["filtered_resps"]
    return float(score), answers


def by_the_api(samples: list[Sample], **options: Any) -> tuple[float, dict[int, str]]:
    """The same by retake's own API."""
    model = retake.load(**options)
    answers = {}
    for video in {sample.video for sample in samples}:
        some = {n: sample for n, sample in enumerate(samples) if sample.video == video}
        memory = model.watch(video, questions=[sample.question for sample in some.values()])
        for number, sample in some.items():
            answers[number] = model.ask(sample.question, memory, max_new_tokens=8).text
    right = [
        answers[number].rstrip(".").casefold() == str(sample.answer).casefold()
        for number, sample in enumerate(samples)
    ]
    return sum(right) / len(right), answers


@pytest.mark.parametrize("simple", [False, True], ids=["chat", "simple"])
def test_scores_are_those_of_the_api(task: Task, tmp_path: Path, simple: bool) -> None:
    folder, samples = task
    given = "selector=dpselect,compressor=pivotkv,keep_ratio=0.25"
    more = ("--force_simple",) if simple else ()
    run(folder, tmp_path, "--model_args", given, *more)
    score, answers = read(tmp_path)
    assert (score, answers) == by_the_api(samples, keep_ratio=0.25)
    assert 0 < score < 1


def test_two_processes_share_the_work(task: Task, tmp_path: Path) -> None:
    folder, samples = task
    launcher = ("torchrun", "--nproc-per-node", "2", "--master-port", "0", "-m", "lmms_eval")
    given = "keep_ratio=0.25,backend=cpu"
    run(folder, tmp_path, "--model_args", given, launcher=launcher)
    score, answers = read(tmp_path)
    expected, texts = by_the_api(samples, keep_ratio=0.25)
    assert score == pytest.approx(expected)
    assert answers == texts
