"""Values as JSON has them, for what is written beside a result."""

import math
from types import NoneType
from typing import Any

_AS_THEY_ARE = {bool, int, str, NoneType}
_NUMBERS = {int, float}


def plain(value: Any) -> Any:
    """A value as JSON has it; what JSON has no form for, as Python shows it.

    Only options of parts of one's own can hold such a thing, and no result is read back from it.
    """
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        # A video has thousands of frames: what is all of a kind is looked at in one go.
        kinds = set(map(type, value))
        if kinds <= _AS_THEY_ARE or (kinds <= _NUMBERS and all(map(math.isfinite, value))):
            return list(value)
        return [plain(each) for each in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return repr(value)
