"""A simulated Ascend NPU: what `import torch_npu` finds where tests put this folder on the path.

Operators run on the CPU, as two devices `npu:0` and `npu:1`, on PyTorch's PrivateUse1 dispatch
key with a backend in Python. What the real device does not do well is refused
(`tests/backends/ascend.py`), and so are tensors of different devices together, as every real
device refuses them. Copies between host and device are counted in `transfers`. Nothing of
Huawei's package is here.

Importing it changes torch for the whole process: tests do it in a process of their own
(`tests/backends/on_npu.py`).
"""

from torch_npu import npu, tensors
from torch_npu.attention import npu_fusion_attention
from torch_npu.tensors import RefusedError, transfers

__all__ = ["RefusedError", "npu", "npu_fusion_attention", "transfers"]

tensors.register(npu)
