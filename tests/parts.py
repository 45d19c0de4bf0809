"""Registered parts as a user writes them, with what they cannot be made without."""

import retake


def selector_line(name: str) -> str:
    """A selector, with a scorer in brackets where it needs one."""
    return f"{name}(colours)" if retake.selectors.get(name).needs_question else name


def compressor_line(name: str) -> str:
    """A compressor, with another in brackets where it is made around one."""
    wraps = issubclass(retake.compressors.get(name), retake.Wrapper)
    return f"{name}(pivotkv)" if wraps else name


SELECTORS = [selector_line(name) for name in retake.selectors.names()]
COMPRESSORS = [compressor_line(name) for name in retake.compressors.names()]
