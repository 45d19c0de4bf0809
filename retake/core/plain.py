"""Values as JSON has them, for what is written beside a result."""

import math
from typing import Any


def plain(value: Any) -> Any:
    """A value as JSON has it; what JSON has no form for, as Python shows it.

    Only options of parts of one's own can hold such a thing, and no result is read back from it.
    """
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return repr(value)
