"""Who judged a run, and what that took: what `results.json` says of it."""

from collections.abc import Mapping
from typing import Any

from retake.evaluation.judging.records import Judgement

_WHO = ("model", "temperature", "seed", "max_tokens", "served", "host", "rubric_sha256")
_TOKENS = ("prompt_tokens", "completion_tokens")


def judges_of(judgements: Mapping[str, Judgement]) -> list[dict[str, Any]]:
    """Who judged, as plain data: one entry for all answers that were judged alike.

    Args:
        judgements: by sample.

    Returns:
        Each with "model", "temperature", "seed", "max_tokens", "served", "host" and
        "rubric_sha256" as in `Judgement`; "answers", how many; "prompt_tokens" and
        "completion_tokens", sums over those whose tokens the endpoint told; and "uncounted", the
        others. In the order of their first judgement.
    """
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for judgement in judgements.values():
        who = {name: getattr(judgement, name) for name in _WHO}
        counted = {"answers": 0, **dict.fromkeys(_TOKENS, 0), "uncounted": 0}
        entry = found.setdefault(tuple(who.values()), who | counted)
        entry["answers"] += 1
        tokens = {name: getattr(judgement, name) for name in _TOKENS}
        entry["uncounted"] += all(count is None for count in tokens.values())
        for name, count in tokens.items():
            entry[name] += count or 0
    return list(found.values())
