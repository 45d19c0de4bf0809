"""Counting a model's floating-point operations from the shapes that pass through it.

Three places see every matrix product of a stock model: its linear and convolutional modules
(forward hooks), the attention functions of `transformers` (the vision tower's), and the backend
(attention over the cache, and attention mass). None of them knows a method or a model family, so
whatever a selector drops and a compressor evicts shows in the shapes.
"""

import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import attrs
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from retake.core.adapter import ModelAdapter
from retake.core.backend import Backend
from retake.measure.flops import attention_flops, is_counted, mass_flops, module_flops

_NAME = "retake-counting"
# What is being counted, by the identity of a tower's configuration: its attention modules carry
# nothing else through which they could be told apart.
_TOWERS: "dict[int, tuple[Tally, str]]" = {}


@attrs.frozen
class Counted:
    """Operations by part of the model and kind of work.

    Attributes:
        counts: (part, kind) → operations. Parts: "encoder" (the vision tower and whatever else
            stands before the language model), "language", "head" (token logits). Kinds: "linear",
            "attention", "mass" (attention mass, for compressors that score with it).
    """

    counts: Mapping[tuple[str, str], int] = attrs.field(factory=dict)

    def total(self, *parts: str) -> int:
        """All operations, or those of some parts."""
        return sum(count for (part, _), count in self.counts.items() if not parts or part in parts)

    def kind(self, kind: str) -> int:
        """All operations of a kind."""
        return sum(count for (_, each), count in self.counts.items() if each == kind)

    def as_data(self) -> dict[str, dict[str, int]]:
        """Part → kind → operations."""
        found: dict[str, dict[str, int]] = {}
        for (part, kind), count in sorted(self.counts.items()):
            found.setdefault(part, {})[kind] = count
        return found

    @staticmethod
    def added(several: "list[Counted]") -> "Counted":
        """The sum of several counts."""
        total: Counter[tuple[str, str]] = Counter()
        for each in several:
            total.update(each.counts)
        return Counted(dict(total))


class Tally:
    """Operations counted so far, apart for each pass through the language model.

    Attributes:
        uncounted_weights: matrices of numbers, as a share of all, that no counted module owns:
            above zero, the count is too low (experts kept in one tensor, for example).
    """

    def __init__(self, uncounted_weights: float = 0.0) -> None:
        self.uncounted_weights = uncounted_weights
        self._passes: list[Counter[tuple[str, str]]] = [Counter()]
        self._lock = threading.Lock()

    def add(self, part: str, kind: str, count: int) -> None:
        """Count operations towards the pass under way."""
        with self._lock:
            self._passes[-1][part, kind] += count

    def next_pass(self) -> None:
        """The language model starts on further tokens."""
        with self._lock:
            self._passes.append(Counter())

    def take(self) -> list[Counted]:
        """What was counted since the last time: before any pass, then with each pass."""
        with self._lock:
            taken, self._passes = self._passes, [Counter()]
        return [Counted(dict(each)) for each in taken]


@contextmanager
def counting(adapter: ModelAdapter, backend: Backend) -> Iterator[tuple[Tally, Backend]]:
    """Count what the adapter's model computes while the block runs.

    Yields a tally, and a backend that counts its attention and otherwise is the one given: build
    a `VideoModel` with it. Afterwards the model is as it was.
    """
    parts = _parts(adapter)
    tally = Tally(_uncounted(adapter.model))
    with ExitStack() as undo:
        for module, part in parts.items():
            if is_counted(module):
                handle = module.register_forward_hook(_hook(tally, part))
                undo.callback(handle.remove)
        start = adapter.language_model().register_forward_pre_hook(lambda *_: tally.next_pass())
        undo.callback(start.remove)
        for config in _tower_configs(parts):
            undo.enter_context(_tower(config, tally))
        yield tally, counting_backend(backend, tally)


def counting_backend(backend: Backend, tally: Tally) -> Backend:
    """A backend that counts attention and attention mass, and otherwise is the one given."""
    kind: Any = type(backend)

    class Counting(kind):  # type: ignore[misc]
        def attend(self, queries: Tensor, keys: Tensor, *rest: Any, **named: Any) -> Any:
            batch, heads, count, width = queries.shape
            flops = attention_flops(
                queries=count,
                keys=keys.shape[2],
                heads=heads,
                width=width,
                batch=batch,
                causal=True,
            )
            tally.add("language", "attention", flops)
            return super().attend(queries, keys, *rest, **named)

        def attention_mass(self, queries: Tensor, keys: Tensor, *rest: Any, **named: Any) -> Any:
            heads, count, width = queries.shape
            flops = mass_flops(queries=count, keys=keys.shape[1], heads=heads, width=width)
            tally.add("language", "mass", flops)
            return super().attention_mass(queries, keys, *rest, **named)

    # A backend is a frozen attrs class: its fields are all that it is.
    counting: Backend = Counting(**attrs.asdict(backend, recurse=False))
    return counting


def _parts(adapter: ModelAdapter) -> dict[nn.Module, str]:
    """Every module of the model, and which part of it it belongs to."""
    language = set(adapter.language_model().modules())
    head = adapter.model.get_output_embeddings()
    return {
        module: "head" if module is head else "language" if module in language else "encoder"
        for module in adapter.model.modules()
    }


def _hook(tally: Tally, part: str) -> Any:
    def hook(module: nn.Module, _: Any, output: Tensor) -> None:
        tally.add(part, "linear", module_flops(module, output))

    return hook


def _uncounted(model: nn.Module) -> float:
    """The share of the model's matrices that no counted module owns; embeddings only look up."""
    known = {
        module: is_counted(module) or isinstance(module, nn.Embedding) for module in model.modules()
    }
    sizes = {True: 0, False: 0}
    seen: set[int] = set()
    # Those with a formula first: a head may share its matrix with the embedding.
    for module in sorted(known, key=lambda each: not known[each]):
        for weight in module.parameters(recurse=False):
            if weight.ndim > 1 and id(weight) not in seen:
                seen.add(id(weight))
                sizes[known[module]] += weight.numel()
    return sizes[False] / max(1, sum(sizes.values()))


def _tower_configs(parts: Mapping[nn.Module, str]) -> list[Any]:
    """The configurations by which modules before the language model pick their attention."""
    configs: dict[str, dict[int, Any]] = {"encoder": {}, "language": {}, "head": {}}
    for module, part in parts.items():
        config: Any = getattr(module, "config", None)
        # One that holds others would hand its setting down to the language model's.
        if hasattr(config, "_attn_implementation") and not config.sub_configs:
            configs[part][id(config)] = config
    return [each for key, each in configs["encoder"].items() if key not in configs["language"]]


@contextmanager
def _tower(config: Any, tally: Tally) -> Iterator[None]:
    """Count the attention of one tower."""
    before = config._attn_implementation
    _TOWERS[id(config)] = (tally, before)
    config._attn_implementation = _NAME
    try:
        yield
    finally:
        config._attn_implementation = before
        del _TOWERS[id(config)]


def _counted_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, *rest: Any, **named: Any
) -> Any:
    """Count, then attend as the tower would have: `[B, H, Q, D]`, every pair visible."""
    tally, name = _TOWERS[id(module.config)]
    batch, heads, count, width = query.shape
    flops = attention_flops(
        queries=count,
        keys=key.shape[2],
        heads=heads,
        width=width,
        value_width=value.shape[3],
        batch=batch,
    )
    tally.add("encoder", "attention", flops)
    # "eager" is no registered function: each modelling file has its own.
    plain = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
    attend: Any = ALL_ATTENTION_FUNCTIONS.get_interface(name, plain)  # type: ignore[arg-type]
    return attend(module, query, key, value, *rest, **named)


AttentionInterface.register(_NAME, _counted_attention)
