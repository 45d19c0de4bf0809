"""From a task's generation settings, as lmms-eval hands them over, to retake's."""

import json
from collections.abc import Mapping
from typing import Any

import attrs
from transformers import GenerationConfig

from retake.core.config import GenerateOptions
from retake.core.errors import UsageError

#: Which lmms-eval adds wherever a task names no stop (its few-shot delimiter).
BLANK_LINE = "\n\n"
_SAMPLING = ("temperature", "top_p", "top_k")
# True of every answer; a task need not say so.
_MEANT_ANYWAY = ("use_cache",)


@attrs.frozen
class Decoding:
    """How a request is answered.

    Attributes:
        options: fields of `GenerateOptions`.
        stops: an answer ends before the first of these.
        unread: settings that were left unread, and why.
    """

    options: Mapping[str, Any]
    stops: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The same for settings that decode alike."""
        return json.dumps([self.options, self.stops], sort_keys=True, default=repr)

    @property
    def samples(self) -> bool:
        """Whether tokens are drawn."""
        return bool(self.options.get("do_sample"))

    def cut(self, answer: str) -> str:
        """An answer up to the first stop."""
        for stop in self.stops:
            answer = answer.partition(stop)[0]
        return answer.strip()


def read_decoding(given: Mapping[str, Any], *, stop_at_blank_line: bool = False) -> Decoding:
    """A task's `generation_kwargs`.

    A temperature of 0 means the likeliest token, whatever `do_sample` says; one above 0 means
    drawing, unless `do_sample` is false. Settings of `transformers` go on to it; others are for
    other models and are left unread.

    Raises:
        UsageError: `until` is neither text nor a list of texts.
    """
    left = {key: value for key, value in given.items() if value is not None}
    stops = tuple(
        stop for stop in _stops(left.pop("until", ())) if stop_at_blank_line or stop != BLANK_LINE
    )
    length = left.pop("max_gen_toks", None)
    options: dict[str, Any] = {} if length is None else {"max_new_tokens": length}
    unread = []
    temperature = left.get("temperature")
    sample = bool(left.pop("do_sample", bool(temperature))) and temperature != 0
    options["do_sample"] = sample
    known = {field.name for field in attrs.fields(GenerateOptions)}
    extra = {}
    for key, value in left.items():
        if key in _SAMPLING and not sample:
            if key == "temperature" and value != 0:
                unread.append(f"temperature={value} (do_sample is false)")
        elif key in known - {"extra"}:
            options[key] = value
        elif key in _TRANSFORMERS and key != "num_return_sequences":
            extra[key] = value
        elif key not in _MEANT_ANYWAY:
            unread.append(f"{key}={value}")
    return Decoding({**options, "extra": extra} if extra else options, stops, tuple(unread))


_DEFAULTS: Any = GenerationConfig()  # type: ignore[no-untyped-call]
_TRANSFORMERS = frozenset(_DEFAULTS.to_dict()) - {"transformers_version", *_MEANT_ANYWAY}


def _stops(given: Any) -> tuple[str, ...]:
    """Stops as a tuple; empty texts stop nothing."""
    stops = (given,) if isinstance(given, str) else given
    if not isinstance(stops, list | tuple) or not all(isinstance(stop, str) for stop in stops):
        raise UsageError(f"A task's 'until' is text or a list of texts, got {given!r}.")
    return tuple(stop for stop in stops if stop)
