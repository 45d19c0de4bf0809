"""One kind of device a file."""

from typing import TYPE_CHECKING

from retake.core.registry import Registry

if TYPE_CHECKING:
    from retake.core.backend import Backend

backends: "Registry[Backend]" = Registry(
    "backend", "retake.core.backend:Backend", entry_point_group="retake.backends"
)
backends.register_lazy("cpu", "retake.backends.cpu:CPU")
backends.register_lazy("cuda", "retake.backends.cuda:CUDA")
backends.register_lazy("npu", "retake.backends.npu:NPU")
