"""Checks for option values, used as attrs validators; their errors name option, rule and value."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import attrs

_SPREADS = ("auto", "balanced", "sequential")

Check = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def fraction(_: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    """A fraction to keep: above 0, at most 1."""
    if not 0 < value <= 1:
        raise ValueError(f"{attribute.name} must be above 0 and at most 1, got {value}")


def at_least(least: float) -> Check:
    """A number no smaller than `least`."""

    def check(_: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if not least <= value < float("inf"):
            raise ValueError(f"{attribute.name} must be at least {least}, got {value}")

    return check


def between(least: float, most: float) -> Check:
    """A number from `least` to `most`."""

    def check(_: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if not least <= value <= most:
            raise ValueError(f"{attribute.name} must be from {least} to {most}, got {value}")

    return check


def optional(check: Check) -> Check:
    """The same check, passed by None."""

    def check_given(owner: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if value is not None:
            check(owner, attribute, value)

    return check_given


def positive(_: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    """A number above zero (and not infinite)."""
    if not 0 < value < float("inf"):
        raise ValueError(f"{attribute.name} must be above 0, got {value}")


def spread(_: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    """A way of spreading a model over devices: by name, or as a mapping of modules."""
    if isinstance(value, str):
        if value not in _SPREADS:
            raise ValueError(
                f"{attribute.name} must be {', '.join(_SPREADS)} or a mapping, got {value!r}"
            )
    elif not isinstance(value, dict) or not value:
        raise ValueError(f"{attribute.name} must be a name or a mapping, got {value!r}")
    else:
        for module, device in value.items():
            if not isinstance(module, str):
                raise ValueError(f"{attribute.name} maps modules by name, got {module!r}")
            inside = [other for other in value if _contains(module, other)]
            if inside:
                raise ValueError(
                    f"{attribute.name} places '{module}' and, inside it, '{inside[0]}'; "
                    "name parts that do not overlap"
                )
            if device != "disk":
                _check_device(attribute.name, module, device)


def _contains(module: str, other: str) -> bool:
    """Whether one module, by its path in a model, holds another; "" is the whole model."""
    return other != module and (not module or other.startswith(f"{module}."))


def _check_device(option: str, module: str, device: Any) -> None:
    """Refuse what is neither a device's number nor its name."""
    import torch

    try:
        if type(device) not in (int, str):
            raise TypeError
        torch.device(device)
    except (TypeError, RuntimeError):
        raise ValueError(
            f"{option} places '{module}' on a device by number or name (0, cuda:1, cpu) "
            f"or on disk, got {device!r}"
        ) from None


def odd(_: Any, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    """A positive odd whole number."""
    if value < 1 or value % 2 == 0:
        raise ValueError(f"{attribute.name} must be odd and at least 1, got {value}")


def count_of(keep_ratio: float, total: int) -> int:
    """How many of `total` a ratio keeps: the nearest whole number, at least one.

    The ratio is taken by its decimal form, so that 0.29 of 100 is 29.
    """
    return max(1, min(total, round(Fraction(str(keep_ratio)) * total)))
