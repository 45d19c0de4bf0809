"""Decoding an answer with the stock `generate`, from a cache that holds the video."""

import copy
import time
from typing import Any

import attrs
import torch
from torch import Tensor
from transformers import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from retake.core.adapter import ModelAdapter
from retake.core.arena import ArenaCache
from retake.core.backend import Backend
from retake.core.config import GenerateOptions
from retake.core.errors import UsageError

# Settings that only sampling reads; left over from a checkpoint they would be warned about.
_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")


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
    unused = config.update(**given, **options.extra)  # type: ignore[no-untyped-call]
    if unused:
        raise UsageError(
            f"transformers has no generation setting {', '.join(map(repr, sorted(unused)))}.",
            hint="See transformers.GenerationConfig for those it has.",
        )
    if config.pad_token_id is None:
        ends = config.eos_token_id
        config.pad_token_id = ends[0] if isinstance(ends, list) else ends
    try:
        config.validate()
    except ValueError as error:
        raise UsageError(f"These generation settings do not go together: {error}") from error
    return config


def generate(
    adapter: ModelAdapter,
    backend: Backend,
    cache: ArenaCache,
    suffix: tuple[int, ...],
    config: GenerationConfig,
    *,
    seed: int,
    streamer: Any = None,
) -> Generated:
    """Generate behind what a cache holds; the model must be attached.

    The global random state is left as it was.
    """
    ids = torch.tensor([suffix], device=adapter.device)
    seen = torch.ones(1, cache.get_seq_length() + len(suffix), dtype=torch.long, device=ids.device)
    clock = _TokenClock(backend)
    devices = [adapter.device] if adapter.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        start = time.perf_counter()
        output = adapter.model.generate(
            input_ids=ids,
            attention_mask=seen,
            past_key_values=cache,
            generation_config=config,
            stopping_criteria=StoppingCriteriaList([clock]),
            streamer=streamer,
        )
    sequences = output if isinstance(output, Tensor) else output.sequences
    return Generated(
        tuple(tuple(row[len(suffix) :].tolist()) for row in sequences),
        tuple(moment - start for moment in clock.times),
    )
