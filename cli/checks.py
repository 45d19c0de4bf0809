"""What `retake doctor` looks at; each check tries the real thing and says what to do about it."""

import os
import platform
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import attrs
import torch
from packaging.requirements import Requirement

from retake import api, backends
from retake.core.errors import RetakeError
from retake.datasets.scenes import Clip, make_clip
from retake.models.embedded import checkpoint_path, clips
from retake.video import open_video, readers

from . import units
from .parts import KINDS
from .questions import Asked

Status = Literal["ok", "note", "fail"]
_HUB = "https://huggingface.co"


@attrs.frozen
class Check:
    """What one look showed.

    Attributes:
        topic: under what it is shown.
        name: what was looked at.
        status: "ok"; "note" for what is missing or unusual but not needed; "fail".
        detail: what was found.
        advice: what to do about it, or "".
        needed: whether `retake run` cannot do without it.
    """

    topic: str
    name: str
    status: Status
    detail: str
    advice: str = ""
    needed: bool = False


def examine(*, hub: bool = False) -> Iterator[Check]:
    """Every check, one after the other."""
    yield from _versions()
    yield from _machine()
    yield from _devices()
    with TemporaryDirectory() as scratch:
        made: list[Path] = []
        yield from _guarded("Video", "example clip", lambda: _example(Path(scratch), made))
        if made:
            yield from _decoders(made[0])
            yield from _guarded("Model", "embedded model", lambda: _model(made[0]))
    yield from _plugins()
    if hub:
        yield from _guarded("Hub", "model hub", _hub, needed=False)


def healthy(checks: list[Check]) -> bool:
    """Whether `retake run` can do its work: all that is needed works, and one decoder does."""
    decoders = [check for check in checks if check.topic == "Video" and not check.needed]
    return all(check.status != "fail" for check in checks if check.needed) and any(
        check.status == "ok" for check in decoders
    )


def _guarded(
    topic: str, name: str, look: Callable[[], Check], *, needed: bool = True
) -> Iterator[Check]:
    """A check that fails is a result, whatever it fails with."""
    try:
        yield look()
    except Exception as error:  # noqa: BLE001 - a broken installation may raise anything
        hint = getattr(error, "hint", None) or ""
        known = isinstance(error, RetakeError)
        reason = error.message if isinstance(error, RetakeError) else f"{error}"
        shown = reason if known else f"{type(error).__name__}: {reason}"
        yield Check(topic, name, "fail", shown, hint, needed)


def _versions() -> Iterator[Check]:
    """Python and the packages, against the versions that retake accepts."""
    yield Check("Packages", "python", "ok", platform.python_version())
    try:
        wanted = metadata.requires("retake") or []
    except metadata.PackageNotFoundError:
        advice = "Install it with: pip install -c constraints.txt -e ."
        yield Check("Packages", "retake", "note", "not installed, run from its source", advice)
        return
    yield Check("Packages", "retake", "ok", metadata.version("retake"))
    for text in wanted:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _package(requirement)


def _package(requirement: Requirement) -> Check:
    name, accepted = (
        requirement.name,
        ",".join(sorted(map(str, requirement.specifier), reverse=True)),
    )
    advice = f"Install it with: pip install '{name}{accepted}'"
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Check("Packages", name, "fail", f"not installed; needs {accepted}", advice)
    if not requirement.specifier.contains(found, prereleases=True):
        return Check("Packages", name, "fail", f"{found}, but needs {accepted}", advice)
    return Check("Packages", name, "ok", f"{found}  ({accepted})")


def _machine() -> Iterator[Check]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = torch.get_num_threads()
    yield Check("Machine", "cores", "ok", f"{cores}, of which torch uses {threads}")
    if hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        page = os.sysconf("SC_PAGE_SIZE")
        total, free = (os.sysconf(name) * page for name in ("SC_PHYS_PAGES", "SC_AVPHYS_PAGES"))
        shown = f"{units.memory(total)}, of which {units.memory(free)} free"
        yield Check("Machine", "memory", "ok", shown)


def _devices() -> Iterator[Check]:
    """Each backend: is it usable, and do its attention kernels agree with the reference?"""
    for name in backends.names():
        yield from _guarded("Devices", name, partial(_device, name), needed=name == "cpu")


def _device(name: str) -> Check:
    cls = backends.get(name)
    reason = cls.unavailable()
    if reason is not None:
        return Check("Devices", name, "note", f"cannot be used: {reason}")
    fused, plain = cls(kernel="sdpa"), cls(kernel="eager")
    torch.manual_seed(0)
    queries = torch.randn(1, 4, 64, 32, device=fused.device)
    keys, values = torch.randn(2, 1, 2, 96, 32, device=fused.device)
    outputs = [each.attend(queries, keys, values, 32**-0.5) for each in (fused, plain)]
    apart = float((outputs[0] - outputs[1]).abs().max())
    if not apart < 1e-3:
        return Check(
            "Devices",
            name,
            "fail",
            f"sdpa and eager attention disagree by {apart:.2g}",
            "Use --attention eager, and report it with the versions above.",
            needed=name == "cpu",
        )
    return Check("Devices", name, "ok", f"{fused.describe()}; eager agrees", needed=name == "cpu")


def _example(scratch: Path, made: list[Path]) -> Check:
    """A clip to try things on: a bundled one, or one drawn and encoded now."""
    bundled = clips()
    if bundled:
        made.append(bundled[0])
        return Check("Video", "example clip", "ok", f"clip:{bundled[0].stem}", needed=True)
    made.append(make_clip(scratch / "example.mp4", seconds=8, seed=0).path)
    return Check("Video", "example clip", "ok", "drawn and encoded now", needed=True)


def _decoders(video: Path) -> Iterator[Check]:
    for status in readers():
        if not status.works:
            version = f"{status.version}: " if status.version else ""
            advice = "Videos are read by another decoder that works, if there is one."
            yield Check("Video", status.name, "note", f"{version}{status.reason}", advice)
            continue
        yield from _guarded(
            "Video",
            status.name,
            partial(_decoder, status.name, status.version, video),
            needed=False,
        )


def _decoder(name: str, version: str, video: Path) -> Check:
    start = time.perf_counter()
    with open_video(video, reader=name) as reader:  # type: ignore[arg-type]
        count = reader.info.frame_count
        chosen = sorted({0, count // 2, count - 1})
        decoded = sum(len(batch) for batch in reader.read(chosen))
    spent = units.seconds(time.perf_counter() - start)
    return Check("Video", name, "ok", f"{version}; opened and decoded {decoded} frames in {spent}")


def _model(video: Path) -> Check:
    """Load the embedded model, let it watch a clip, and ask it a question."""
    start = time.perf_counter()
    model = api.load()
    memory = model.watch(video)
    question = Clip.load(video.with_suffix(".json")).questions[0]
    asked = Asked(question.text, question.answer, question.letter)
    answer = model.ask(asked.text, memory, max_new_tokens=4).text
    spent = units.seconds(time.perf_counter() - start)
    verdict = "right" if asked.correct(answer) else f"the truth is {question.answer}"
    size = units.memory(sum(file.stat().st_size for file in checkpoint_path().iterdir()))
    detail = f"{size}; loaded, watched and answered '{answer}' ({verdict}) in {spent}"
    return Check("Model", "embedded model", "ok", detail, needed=True)


def _plugins() -> Iterator[Check]:
    for kind in KINDS:
        for part in kind.parts():
            if part.broken:
                name = f"{kind.name[:-1]} {part.name}"
                advice = "Repair or uninstall the package that brings it."
                yield Check("Plug-ins", name, "note", part.broken, advice)


def _hub() -> Check:
    address = os.environ.get("HF_ENDPOINT", _HUB)
    request = urllib.request.Request(address, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=5):
            return Check("Hub", "model hub", "ok", f"{address} answers")
    except OSError as error:
        reason = getattr(error, "reason", error)
        advice = "Models in local folders work without it: --model PATH."
        return Check("Hub", "model hub", "note", f"{address}: {reason}", advice)
