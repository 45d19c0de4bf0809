"""From what a caller gives to checked options: budgets, and another set of parts for a model."""

from collections.abc import Mapping
from typing import Any, TypeVar

import attrs

from retake import loading
from retake.core import config as options
from retake.core.compressor import KVCompressor
from retake.core.config import GenerateOptions, PartOptions, PrefillOptions, RunConfig
from retake.core.errors import UsageError
from retake.core.selector import FrameSelector

#: Tokens kept where neither a budget nor a ratio is asked for: the paper's setting for Qwen2-VL.
DEFAULT_BUDGET = 32_000
Options = TypeVar("Options")


def as_options(
    cls: type[Options], given: Options | Mapping[str, Any] | None, where: str
) -> Options:
    """Options as they are given: an instance, a mapping, or nothing."""
    if given is None:
        return cls()
    if isinstance(given, Mapping):
        return options.structure(cls, given, where)
    if not isinstance(given, cls):
        raise UsageError(f"A {where} is a {cls.__name__} or a mapping, got {given!r}.")
    return given


def as_seed(seed: int) -> int:
    """A seed, checked like every option."""
    return options.structure(RunConfig, {"seed": seed}, "option").seed


def as_prefill(
    given: PrefillOptions | Mapping[str, Any] | None, budget: int | None, keep_ratio: float | None
) -> PrefillOptions:
    """Prefill options with a budget or ratio given beside them."""
    prefill = as_options(PrefillOptions, given, "prefill option")
    changes = {
        name: value
        for name, value in (("budget", budget), ("keep_ratio", keep_ratio))
        if value is not None
    }
    if not changes:
        return prefill
    base = {**options.unstructure(prefill), "budget": None, "keep_ratio": None}
    return options.structure(PrefillOptions, {**base, **changes}, "prefill option")


def resolve_budget(prefill: PrefillOptions, compressor: KVCompressor) -> PrefillOptions:
    """The default budget where none is asked for; none for a compressor that never evicts."""
    if not compressor.evicts:
        if prefill.keep_ratio not in (None, 1):
            raise UsageError(
                f"{type(compressor).__name__} evicts nothing, so a keep_ratio of "
                f"{prefill.keep_ratio} cannot be met.",
                hint="Use a compressor such as pivotkv, or leave keep_ratio out.",
            )
        return attrs.evolve(prefill, keep_ratio=None)
    if prefill.budget is None and prefill.keep_ratio is None:
        return attrs.evolve(prefill, budget=DEFAULT_BUDGET)
    return prefill


def reconfigured(
    base: RunConfig,
    parts: tuple[FrameSelector, KVCompressor],
    *,
    selector: str | PartOptions | FrameSelector | None,
    compressor: str | PartOptions | KVCompressor | None,
    budget: int | None,
    keep_ratio: float | None,
    prefill: PrefillOptions | Mapping[str, Any] | None,
    generate: GenerateOptions | Mapping[str, Any] | None,
    seed: int | None,
) -> tuple[RunConfig, FrameSelector, KVCompressor]:
    """A configuration with other parts and budgets, and those parts; what is None stays."""
    selecting, selector_options = parts[0], base.selector
    if selector is not None:
        selecting, selector_options = loading.make_selector(selector)
    compressing, compressor_options = parts[1], base.compressor
    if compressor is not None:
        compressing, compressor_options = loading.make_compressor(compressor)
    rules = as_prefill(base.prefill if prefill is None else prefill, budget, keep_ratio)
    config = attrs.evolve(
        base,
        selector=selector_options,
        compressor=compressor_options,
        prefill=resolve_budget(rules, compressing),
        generate=base.generate
        if generate is None
        else as_options(GenerateOptions, generate, "generate option"),
        seed=base.seed if seed is None else as_seed(seed),
    )
    return config, selecting, compressing
