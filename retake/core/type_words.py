"""The types of options in words, for the messages of those who give a wrong value.

The idea: who types a value knows numbers and names, not `tuple[float, ...]`. "null" is what an
option without a value is in YAML, and so on the command line.
"""

from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

_ONE = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
_MANY = {int: "whole numbers", float: "numbers", bool: "values true or false", str: "texts"}


def in_words(kind: Any) -> str:
    """What a value of a type is: "a number or null", "reforge or original", "2 whole numbers"."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is NoneType or kind is None:
        return "null"
    if kind in _ONE:
        return _ONE[kind]
    if origin is Literal:
        return _listed([str(each) for each in arguments])
    if origin in (Union, UnionType):
        return _listed(list(dict.fromkeys(in_words(each) for each in arguments)))
    if origin is tuple and arguments:
        return _several(arguments)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "a mapping"
    if isinstance(origin, type) and issubclass(origin, Sequence) and arguments:
        return _any_number(arguments[0])
    return getattr(kind, "__name__", None) or str(kind)


def choices_of(kind: Any) -> tuple[Any, ...]:
    """The values allowed where a type is a choice among names, or that or None; else nothing."""
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    named = [each for each in kinds if each is not NoneType]
    if len(named) != 1 or get_origin(named[0]) is not Literal:
        return ()
    return (*get_args(named[0]), *([None] if len(kinds) > 1 else []))


def _several(kinds: Sequence[Any]) -> str:
    if kinds[-1] is Ellipsis:
        return _any_number(kinds[0])
    if len(set(kinds)) == 1 and kinds[0] in _MANY and len(kinds) > 1:
        return f"{len(kinds)} {_MANY[kinds[0]]}"
    return f"a list of {', '.join(in_words(each) for each in kinds)}"


def _any_number(kind: Any) -> str:
    """One or more of a kind."""
    if get_origin(kind) is Literal:
        return f"one or more of {', '.join(str(each) for each in get_args(kind))}"
    return _MANY.get(kind) or f"a list, each {in_words(kind)}"


def _listed(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 2 else words)
