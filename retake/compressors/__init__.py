"""Which key/value pairs survive a chunk: one method a file."""

from typing import TYPE_CHECKING

from retake.core.registry import Registry

if TYPE_CHECKING:
    from retake.core.compressor import KVCompressor

compressors: "Registry[KVCompressor]" = Registry(
    "compressor", "retake.core.compressor:KVCompressor", entry_point_group="retake.compressors"
)
for _name, _target in {
    "none": "none:NoCompression",
    "random": "random:Random",
    "uniform": "uniform:Uniform",
    "pivotkv": "pivotkv:PivotKV",
    "snapkv": "snapkv:SnapKV",
    "expected-attention": "expected_attention:ExpectedAttention",
    "knorm": "knorm:KNorm",
    "keydiff": "keydiff:KeyDiff",
    "adaretake": "adaretake:AdaReTaKe",
    "streaming-llm": "streaming_llm:StreamingLLM",
    "h2o": "h2o:H2O",
    "tova": "tova:TOVA",
    "infinipot-v": "infinipot_v:InfiniPotV",
    # Around another one.
    "adakv": "adakv:AdaKV",
    "pyramidkv": "pyramidkv:PyramidKV",
}.items():
    compressors.register_lazy(_name, f"retake.compressors.{_target}")
