"""What the task's YAML names: where a video is, what is asked, and whether an answer is right."""

from typing import Any


def doc_to_visual(doc: dict[str, Any]) -> list[str]:
    return [doc["video"]]


def doc_to_text(doc: dict[str, Any], lmms_eval_specific_kwargs: Any = None) -> str:
    return str(doc["question"])


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    return {"right": float(results[0].strip().rstrip(".").casefold() == doc["answer"].casefold())}
