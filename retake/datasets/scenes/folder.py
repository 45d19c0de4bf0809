"""The folder a benchmark's videos are kept in: what it is for, and what is there already.

The idea: a video is decided by its name and by the folder's recipe, which is written down
in `scenes.json`; so lengths, seeds and more videos can join at any time, by any number of
processes, and a folder of another recipe is refused instead of mixed up with. What this
module does not know: how a script is invented, or what is asked.
"""

import json
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any

import attrs

from retake.core.errors import UsageError, VideoError
from retake.datasets.scenes.clip import Clip, hash_of

MANIFEST = "scenes.json"
FORMAT = "retake.scenes/1"

_HASHED = 64 * 2**20  # bytes; a larger video is told by its size alone, which costs nothing
_OF_THE_FILE = ("bytes", "sha256")  # what a sidecar says of its file, and no script tells


def cache_folder(recipe: Mapping[str, Any]) -> Path:
    """Where videos of a recipe are kept when no folder is named, one folder a recipe."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    text = json.dumps([FORMAT, dict(recipe)], sort_keys=True)
    return Path(home) / "retake" / "scenes" / sha256(text.encode()).hexdigest()[:16]


def open_folder(root: Path, recipe: Mapping[str, Any]) -> None:
    """Makes the folder if need be, and sees that it is for this recipe.

    Raises:
        UsageError: it is for another recipe, is no such folder, or cannot be written.
    """
    manifest = root / MANIFEST
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not manifest.exists():
            _refuse_strangers(root)
            _write(manifest, {"format": FORMAT, "recipe": dict(recipe)})
        found = manifest.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "its manifest is not text"
        raise UsageError(f"Cannot keep videos in '{root}': {reason}.") from error
    _compare(_parsed(manifest, found), recipe, root)


def is_made(expected: Clip) -> bool:
    """Whether a video and its sidecar are there; one without the other is left of a killed run.

    Raises:
        VideoError: the sidecar is damaged, tells of another video, or the video is not the one
            that was written with it: another size, or (up to 64 MiB) another content.
    """
    sidecar = expected.path.with_suffix(".json")
    if not sidecar.is_file() or not expected.path.is_file():
        return False
    wrong = _wrong(Clip.load(sidecar), expected)
    if wrong:
        raise VideoError(
            f"{expected.path} is not the video that belongs there: {wrong}.",
            hint="Delete it and its .json file to have it made again.",
        )
    return True


def _wrong(found: Clip, expected: Clip) -> str | None:
    """What is wrong with a video and its sidecar, the cheapest to find first."""
    other = [
        field.name
        for field in attrs.fields(Clip)
        if field.name not in _OF_THE_FILE
        and getattr(found, field.name) != getattr(expected, field.name)
    ]
    if other:
        return f"its sidecar tells of other {', '.join(other)}"
    size = expected.path.stat().st_size
    if not size:
        return "it has no picture"
    if found.bytes not in (None, size):
        return f"it has {size:,} bytes, and the one that its sidecar tells of has {found.bytes:,}"
    if found.sha256 and size <= _HASHED and hash_of(expected.path) != found.sha256:
        return "its content (SHA-256) is not that of the one that its sidecar tells of"
    return None


def _refuse_strangers(root: Path) -> None:
    strangers = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
    if strangers and MANIFEST not in strangers:
        raise UsageError(
            f"'{root}' holds other things ('{strangers[0]}') and no {MANIFEST}.",
            hint="Name an empty folder, a new one, or one made by `retake data make scenes`.",
        )


def _write(manifest: Path, data: dict[str, Any]) -> None:
    """The manifest, whole or not at all; of two processes at once, the last one's."""
    partial = manifest.with_name(f".{MANIFEST}.{os.getpid()}-{token_hex(4)}.partial")
    partial.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    partial.replace(manifest)


def _parsed(manifest: Path, text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except ValueError:
        data = None
    known = isinstance(data, dict) and data.get("format") == FORMAT
    if not known or not isinstance(data["recipe"], dict):
        raise UsageError(
            f"'{manifest}' is not the manifest of a folder of scenes ({FORMAT}).",
            hint="Name another folder.",
        )
    found: dict[str, Any] = data["recipe"]
    return found


def _compare(found: Mapping[str, Any], wanted: Mapping[str, Any], root: Path) -> None:
    different = [
        f"{name} is {found.get(name)}, not {wanted.get(name)}"
        for name in sorted({*found, *wanted})
        if found.get(name) != wanted.get(name)
    ]
    if different:
        raise UsageError(
            f"The videos in '{root}' were made with other options: {'; '.join(different)}.",
            hint="Give the same options, or name another folder.",
        )
