"""The package's public names, most of which are imported when first used."""

import ast
import importlib
from pathlib import Path

import pytest

import retake


def test_every_name_is_told_to_type_checkers_and_to_python_alike() -> None:
    """What is imported for type checkers is what is imported on first use, from the same place."""
    tree = ast.parse(Path(retake.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    told = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert told == retake._MODULES
    assert set(told) <= set(retake.__all__) <= set(dir(retake))
    for name, module in told.items():
        assert getattr(retake, name) is getattr(importlib.import_module(str(module)), name)


def test_unknown_name() -> None:
    """As of any other module."""
    with pytest.raises(AttributeError, match="module 'retake' has no attribute 'nothing'"):
        _ = retake.nothing  # type: ignore[attr-defined]
    with pytest.raises(ImportError):
        from retake import nothing  # type: ignore[attr-defined] # noqa: F401
