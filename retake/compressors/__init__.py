"""Which key/value pairs survive a chunk: one method a file."""

from retake.core.compressor import KVCompressor
from retake.core.registry import Registry

compressors: Registry[KVCompressor] = Registry(
    "compressor", KVCompressor, entry_point_group="retake.compressors"
)
compressors.register_lazy("none", "retake.compressors.none:NoCompression")
compressors.register_lazy("pivotkv", "retake.compressors.pivotkv:PivotKV")
