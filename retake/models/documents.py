"""JSON files of a checkpoint, read with care: what is not as it must be is named, with its file.

Anyone may have edited them: nothing in them is trusted to have the type it should.
"""

import json
import math
from typing import Any

import attrs

from retake.core.errors import ModelError

Triple = tuple[float, float, float]

# No picture is stretched so far, and every smaller number can be computed with.
_MOST = 1 << 53
# What settings of a preprocessor retake carries out, and only so.
_ONLY: tuple[tuple[str, Any, str], ...] = (
    ("do_resize", True, "frames are always resized"),
    ("do_rescale", True, "frames are always scaled to [0, 1]"),
    ("do_normalize", True, "frames are always normalised"),
    ("do_center_crop", False, "frames are never cropped"),
    ("resample", 3, "frames are resized by 3 (bicubic)"),
    ("rescale_factor", 1 / 255, "frames are scaled by 1/255"),
)


def json_object(text: str, path: str) -> dict[str, Any]:
    """The JSON object that a file's text is.

    Raises:
        ModelError: it is not JSON, or JSON of another kind.
    """
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"'{path}' is not valid JSON: {error}.") from error
    if not isinstance(given, dict):
        raise ModelError(f"'{path}' must hold a JSON object, {{…}}; it holds {shown(given)}.")
    return given


def shown(value: Any) -> str:
    """A value of a JSON file as it is written there, cut to a line."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"


@attrs.frozen
class Settings:
    """Settings of a JSON file, asked for by name; null, and what is left out, is the default.

    Attributes:
        given: the settings.
        path: of their file, as messages name it.
        within: what stands before a setting's name in messages.
    """

    given: dict[str, Any]
    path: str
    within: str = ""

    @classmethod
    def of(cls, text: str, path: str) -> "Settings":
        """The settings that a file's text is.

        Raises:
            ModelError: it is no JSON object.
        """
        return cls(json_object(text, path), path)

    def whole(self, name: str, default: int, *, most: int = _MOST) -> int:
        """A whole number from 1 to `most`."""
        value = self.given.get(name)
        if value is None:
            return default
        # True and False are whole numbers to Python, not to people.
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            end = "" if most == _MOST else f" to {most}"
            raise self.wrong(name, f"a whole number from 1{end}")
        return value

    def triple(self, name: str, default: Triple, *, positive: bool = False) -> Triple:
        """A number for each of red, green and blue."""
        value = self.given.get(name)
        if value is None:
            return default
        least = 0.0 if positive else -float(_MOST)
        if not isinstance(value, list) or len(value) != 3 or not _between(value, least):
            raise self.wrong(name, f"three numbers{' above 0' if positive else ''}")
        red, green, blue = (float(each) for each in value)
        return red, green, blue

    def part(self, name: str) -> "Settings":
        """The settings within a setting."""
        value = self.given.get(name)
        if value is not None and not isinstance(value, dict):
            raise self.wrong(name, "an object, {…}")
        return Settings(value or {}, self.path, f"{self.within}{name}.")

    def text(self, name: str) -> str:
        """A text, which must be there."""
        value = self.given.get(name)
        if not isinstance(value, str):
            raise self.wrong(name, "a text")
        return value

    def wrong(self, name: str, wanted: str) -> ModelError:
        """The error for a setting that is not what it must be."""
        return ModelError(
            f"'{self.path}' gives '{self.within}{name}' as {shown(self.given.get(name))}; "
            f"it must be {wanted}."
        )

    def check_supported(self) -> None:
        """Refuse a preprocessor that treats frames as retake does not.

        Raises:
            ModelError: a frame would be resized, scaled, normalised or cropped otherwise.
        """
        for name, only, why in _ONLY:
            value = self.given.get(name)
            if value is not None and not _same(value, only):
                raise ModelError(
                    f"'{self.path}' sets '{name}' to {shown(value)}, which retake does not "
                    f"support: {why}.",
                    hint=f"If the model was trained with {shown(only)}, correct it there.",
                )


def _between(values: list[Any], least: float) -> bool:
    """Whether all are numbers, above `least` and within reason."""
    return all(
        isinstance(each, (int, float)) and not isinstance(each, bool) and least < each < _MOST
        for each in values
    )


def _same(value: Any, only: Any) -> bool:
    """Whether a setting is the one supported; a factor may have been rounded on its way."""
    if isinstance(only, float):
        return _between([value], 0.0) and math.isclose(value, only, rel_tol=1e-5)
    return type(value) is type(only) and bool(value == only)
