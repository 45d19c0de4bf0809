"""Decoding an answer with the stock `generate`, from a cache that holds the video."""

import copy
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import attrs
import torch
from torch import Tensor
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList
from transformers.cache_utils import Cache

from retake.core.adapter import ModelAdapter
from retake.core.arena import CACHE_ARGUMENT, ArenaCache
from retake.core.backend import Backend
from retake.core.batch import RowsCache
from retake.core.config import GenerateOptions
from retake.core.errors import UsageError

# Settings that only sampling reads; left over from a checkpoint they would be warned about.
_OWN_SAMPLING = ("temperature", "top_p", "top_k")
# Settings that the session itself decides.
_DECIDED = ("use_cache", "cache_implementation", "max_length", "prefill_chunk_size")
_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")

# Settings with which a row of a batch is decoded without a look at its pads or its neighbours.
_ROW_BY_ROW = {
    *("max_new_tokens", "do_sample", "num_beams", "repetition_penalty", *_SAMPLING),
    *("bos_token_id", "eos_token_id", "pad_token_id", "transformers_version", "_from_model_config"),
    *("use_cache", "max_length", "length_penalty", "early_stopping", "return_dict_in_generate"),
    *("output_attentions", "output_hidden_states", "output_scores", "output_logits"),
}


class _TokenClock(StoppingCriteria):
    """Notes when each token was there; stops nothing."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.times: list[float] = []

    def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: Any) -> Tensor:
        self._backend.synchronize()
        self.times.append(time.perf_counter())
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)


@attrs.frozen(eq=False)
class Generated:
    """Tokens generated, the best sequence first, and when they came (seconds from the start)."""

    sequences: tuple[tuple[int, ...], ...]
    token_times: tuple[float, ...]


def generation_config(adapter: ModelAdapter, options: GenerateOptions) -> GenerationConfig:
    """The checkpoint's generation settings with the run's own over them.

    Raises:
        UsageError: `extra` names a setting that `transformers` does not have.
    """
    _check(options)
    config: GenerationConfig = copy.deepcopy(adapter.model.generation_config)
    defaults = GenerationConfig()  # type: ignore[no-untyped-call]
    if not options.do_sample:
        for name in _SAMPLING:
            setattr(config, name, getattr(defaults, name))
    given = {
        name: value
        for name, value in attrs.asdict(options).items()
        if name != "extra" and value is not None
    }
    with _settings_errors():
        unused = config.update(**given, **options.extra)  # type: ignore[no-untyped-call]
    if unused:
        raise UsageError(
            f"transformers has no generation setting {', '.join(map(repr, sorted(unused)))}.",
            hint="See transformers.GenerationConfig for those it has.",
        )
    if config.pad_token_id is None:
        ends = config.eos_token_id
        config.pad_token_id = ends[0] if isinstance(ends, list) else ends
    with _settings_errors():
        config.validate()
    return config


def _check(options: GenerateOptions) -> None:
    """Refuse settings that would be ignored, or that the session itself decides."""
    own = {field.name for field in attrs.fields(GenerateOptions)} & set(options.extra)
    if own:
        raise UsageError(
            f"{', '.join(sorted(own))} is an option of its own, not one of 'extra'.",
            hint="Set it beside max_new_tokens.",
        )
    decided = set(_DECIDED) & set(options.extra)
    if decided:
        raise UsageError(f"retake decides {', '.join(sorted(decided))} itself.")
    if not options.do_sample:
        unread = [name for name in _OWN_SAMPLING if getattr(options, name) is not None]
        unread += sorted(set(_SAMPLING) & set(options.extra))
        if unread:
            raise UsageError(
                f"{', '.join(unread)} only matters when sampling.", hint="Add do_sample (--sample)."
            )


@contextmanager
def _settings_errors() -> Iterator[None]:
    """What `transformers` says of settings that it cannot use, as an error of usage."""
    try:
        yield
    except (ValueError, TypeError, NotImplementedError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise UsageError(f"transformers cannot generate with these settings: {reason}") from error


def generate(
    adapter: ModelAdapter,
    backend: Backend,
    cache: ArenaCache,
    suffix: tuple[int, ...],
    config: GenerationConfig,
    *,
    seed: int,
    streamer: Any = None,
    unusual: bool = False,
) -> Generated:
    """Generate behind what a cache holds; the model must be attached.

    Args:
        adapter, backend: the model and its device.
        cache: text and video, with room for what comes.
        suffix: token ids of the question.
        config: from `generation_config`.
        seed: of sampling.
        streamer: receives tokens as they come.
        unusual: settings were given that retake does not know; what `transformers` says of
            them is then an error of usage.

    The global random state is left as it was.
    """
    ids = torch.tensor([suffix], device=adapter.device)
    seen = torch.ones(1, cache.get_seq_length() + len(suffix), dtype=torch.long, device=ids.device)
    # Only unusual settings can be wrong here; a failure without them is a defect.
    with _settings_errors() if unusual else nullcontext():
        sequences, times = _decode(adapter, backend, cache, ids, seen, config, seed, streamer)
    return Generated(tuple(tuple(row) for row in sequences), times)


def generate_rows(
    adapter: ModelAdapter,
    backend: Backend,
    cache: RowsCache,
    suffixes: Sequence[tuple[int, ...]],
    config: GenerationConfig,
    *,
    seed: int,
) -> list[Generated]:
    """Generate behind several questions at once; the model must be attached.

    Args:
        adapter, backend: the model and its device.
        cache: with a row for each question.
        suffixes: token ids of each question.
        config: from `generation_config`, and `in_rows` of it is true.
        seed: as in `generate`.

    Returns:
        For each question what `generate` gives: its tokens up to its own end.
    """
    # A row is filled up with a token that it has: penalties count which tokens occurred.
    filled = [[row[-1]] * pad + list(row) for row, pad in zip(suffixes, cache.pads, strict=True)]
    ids = torch.tensor(filled, device=adapter.device)
    before = cache.get_seq_length()
    seen = torch.ones(len(ids), before + ids.shape[1], dtype=torch.long, device=ids.device)
    for row, pad in enumerate(cache.pads):
        seen[row, before : before + pad] = 0
    # Given, so that the model asks nothing that it remembers of another batch.
    positions = (seen.cumsum(-1) - 1).clamp(min=0)
    sequences, times = _decode(
        adapter, backend, cache, ids, seen, config, seed, position_ids=positions
    )
    answers = [_until_end(row, config) for row in sequences]
    return [Generated((tokens,), times[: len(tokens)]) for tokens in answers]


def in_rows(config: GenerationConfig) -> bool:
    """Whether rows of a batch are decoded with these settings as each would be alone."""
    settings = config.to_diff_dict().items()
    given = {name for name, value in settings if value is not None and value is not False}
    return not config.do_sample and (config.num_beams or 1) == 1 and given <= _ROW_BY_ROW


def _until_end(row: list[int], config: GenerationConfig) -> tuple[int, ...]:
    """A row's tokens up to its first end token, which is one of them; then come only pads."""
    given = config.eos_token_id
    ends = set(given) if isinstance(given, list) else {given}
    stop = next((place + 1 for place, token in enumerate(row) if token in ends), len(row))
    return tuple(row[:stop])


def _decode(
    adapter: ModelAdapter,
    backend: Backend,
    cache: Cache,
    ids: Tensor,
    seen: Tensor,
    config: GenerationConfig,
    seed: int,
    streamer: Any = None,
    **more: Any,
) -> tuple[list[list[int]], tuple[float, ...]]:
    """New tokens of each sequence, and when each token came (seconds from the start)."""
    clock = _TokenClock(backend)
    with backend.seeded(seed):
        start = time.perf_counter()
        output = adapter.model.generate(
            input_ids=ids,
            attention_mask=seen,
            generation_config=config,
            stopping_criteria=StoppingCriteriaList([clock]),
            streamer=streamer,
            tokenizer=adapter.tokenizer,
            **{CACHE_ARGUMENT: cache},
            **more,
        )
    sequences = output if isinstance(output, Tensor) else output.sequences
    return sequences[:, ids.shape[1] :].tolist(), tuple(moment - start for moment in clock.times)
