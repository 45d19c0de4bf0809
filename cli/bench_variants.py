"""Which variants `retake bench` compares: every selector given with every compressor given."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import attrs
import click

from retake import loading
from retake.core.config import RunConfig, structure, unstructure
from retake.core.errors import UsageError

from . import configuration
from .bench_runs import Variant
from .options import flags_given
from .steps import generate_settings

_PARTS = ("selector", "compressor")
# One selector and one compressor, None where none was given.
Pair = tuple[str | None, str | None]


def variants_of(given: dict[str, Any], frames: int | None) -> list[Variant]:
    """Every variant with its whole configuration, in the order given.

    Args:
        given: the command line's values.
        frames: sample exactly so many, all there are of a synthetic video.

    Raises:
        UsageError: an option is wrong, or it is not clear to which variant it belongs.
    """
    chosen = [given[f"{kind}s"] or (None,) for kind in _PARTS]
    for kind, references in zip(_PARTS, chosen, strict=True):
        if len(references) > 1 and given[f"{kind}_options"]:
            raise click.UsageError(
                f"--{kind}-option cannot tell which of {len(references)} {kind}s is meant; "
                f"write --{kind} {references[0]}:KEY=VALUE."
            )
    pairs: list[Pair] = [(selector, compressor) for selector, compressor in product(*chosen)]
    configs = _limits_where_met([_configure(given, pair, frames) for pair in pairs])
    labels = [_label(pair, chosen, config) for pair, config in zip(pairs, configs, strict=True)]
    return [Variant(_numbered(labels, at), _forced(config)) for at, config in enumerate(configs)]


def _configure(given: dict[str, Any], pair: Pair, frames: int | None) -> RunConfig:
    flags = flags_given(given)
    if frames is not None:
        for path, name in (("video.fps", "--fps"), ("video.max_frames", "--max-frames")):
            if path in dict(flags):
                raise click.UsageError(f"{name} and --frames exclude each other; give one of them.")
        flags = [*flags, ("video.max_frames", frames)]
    config = configuration.resolve(
        preset=given["preset"],
        files=given["config_files"],
        flags=flags,
        parts={
            kind: (reference, given[f"{kind}_options"])
            for kind, reference in zip(_PARTS, pair, strict=True)
        },
        settings=[*generate_settings(given), *given["settings"]],
    )
    if frames is not None:
        config = attrs.evolve(config, video=attrs.evolve(config.video, fps=None))
    return config


def _limits_where_met(configs: Sequence[RunConfig]) -> list[RunConfig]:
    """Beside a compressor that evicts, one that does not runs without budget and ratio.

    Where none evicts, the limit stays, and is refused as it is in `retake run`.
    """
    evicts = [loading.make_compressor(config.compressor)[0].evicts for config in configs]
    if not any(evicts):
        return list(configs)
    return [
        config
        if evicting
        else attrs.evolve(
            config, prefill=attrs.evolve(config.prefill, budget=None, keep_ratio=None)
        )
        for config, evicting in zip(configs, evicts, strict=True)
    ]


def _forced(config: RunConfig) -> RunConfig:
    """Answers of exactly the length asked for, so that times of a token can be compared."""
    rules = config.generate
    if "min_new_tokens" in rules.extra:
        raise UsageError(
            "min_new_tokens is decided by the bench: answers are exactly max_new_tokens long."
        )
    if rules.num_beams > 1:
        raise UsageError(
            "A bench times single tokens, which beams do not have; leave num_beams out."
        )
    extra = {**rules.extra, "min_new_tokens": rules.max_new_tokens}
    forced = structure(type(rules), {**unstructure(rules), "extra": extra}, "generate option")
    return attrs.evolve(config, generate=forced)


def _label(pair: Pair, chosen: Sequence[Sequence[str | None]], config: RunConfig) -> str:
    """What tells a variant from the others: the parts of which several were given."""
    names = (pair[0] or config.selector.name, pair[1] or config.compressor.name)
    several = [name for name, given in zip(names, chosen, strict=True) if len(given) > 1]
    return " + ".join(several or names)


def _numbered(labels: Sequence[str], at: int) -> str:
    """The label; the same thing given twice, to see the noise, is numbered."""
    before = labels[:at].count(labels[at])
    return f"{labels[at]} ({before + 1})" if before else labels[at]
