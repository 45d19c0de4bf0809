"""One model family a file, and the embedded model."""

from typing import TYPE_CHECKING

from retake.core.registry import Registry

if TYPE_CHECKING:
    from retake.core.adapter import ModelAdapter

models: "Registry[ModelAdapter]" = Registry(
    "model family", "retake.core.adapter:ModelAdapter", entry_point_group="retake.models"
)
models.register_lazy("llava-onevision", "retake.models.llava_onevision:LlavaOnevision")
models.register_lazy("qwen2-vl", "retake.models.qwen2_vl:Qwen2VL")
models.register_lazy("qwen2.5-vl", "retake.models.qwen2_5_vl:Qwen25VL")
