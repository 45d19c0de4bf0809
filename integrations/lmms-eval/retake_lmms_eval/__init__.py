"""retake as a model of lmms-eval: `lmms-eval eval --model retake` (docs/lmms-eval.md)."""

from typing import Any


def manifest() -> Any:
    """What lmms-eval's registry is told of the model."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(
        model_id="retake",
        simple_class_path="retake_lmms_eval.model.RetakeSimple",
        chat_class_path="retake_lmms_eval.model.Retake",
    )
