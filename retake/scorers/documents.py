"""JSON files of a scorer's checkpoint, read with care: anyone may have edited them."""

import json
from pathlib import Path
from typing import Any

import attrs

from retake.core.errors import ModelError

Triple = tuple[float, float, float]

_LONGEST = 1 << 14  # pixels a side, far beyond every tower


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object that a file holds.

    Raises:
        ModelError: it cannot be read, or holds something else.
    """
    try:
        given = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"'{file}' cannot be read: {error}.") from error
    if not isinstance(given, dict):
        raise ModelError(f"'{file}' must hold a JSON object, {{…}}.")
    return given


@attrs.frozen
class Settings:
    """What a checkpoint says of pictures, asked for by name.

    Attributes:
        given: the settings; null is as good as left out.
        path: of their file, as messages name it.
    """

    given: dict[str, Any]
    path: str

    def whole(self, name: str, default: int) -> int:
        """A whole number from 1 on."""
        value = self.given.get(name)
        return default if value is None else self.checked_whole(name, value)

    def checked_whole(self, name: str, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _LONGEST:
            raise self.wrong(name, f"a whole number from 1 to {_LONGEST}")
        return value

    def triple(self, name: str, default: Triple, *, positive: bool = False) -> Triple:
        """A number for each of red, green and blue."""
        value = self.given.get(name)
        if value is None:
            return default
        if not isinstance(value, list) or len(value) != 3 or not all(map(_is_number, value)):
            raise self.wrong(name, "three numbers")
        if positive and min(value) <= 0:
            raise self.wrong(name, "three numbers above 0")
        red, green, blue = (float(each) for each in value)
        return red, green, blue

    def flag(self, name: str, default: bool) -> bool:
        value = self.given.get(name)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return default if value is None else value

    def always(self, *names: str) -> None:
        """Refuse settings that switch off what is always done."""
        for name in names:
            if not self.flag(name, True):
                raise self.wrong(name, "true: retake does it always")

    def wrong(self, name: str, wanted: str) -> ModelError:
        """The error for a setting that is not what it must be."""
        value = json.dumps(self.given.get(name), ensure_ascii=False)
        shown = value if len(value) <= 60 else f"{value[:57]}…"
        return ModelError(f"'{self.path}' gives '{name}' as {shown}; it must be {wanted}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1 << 53
