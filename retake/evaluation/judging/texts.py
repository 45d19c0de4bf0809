"""Texts from outside, made fit for where they go: requests, files, terminals."""


def whole(text: str) -> str:
    """A text with halves of surrogate pairs, which have no bytes, replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def on_a_line(text: str) -> str:
    """A text in one line, with \ufffd for what would not be shown but obeyed by a terminal."""
    line = " ".join(text.split())
    return "".join(each if each.isprintable() else "\ufffd" for each in line)
