"""Tiny random checkpoints in the layout of real ones: one maker a model family.

A registered family without a maker fails the conformance tests.
"""

from collections.abc import Callable
from pathlib import Path

from tests.tiny import llava_onevision, qwen2_5_vl, qwen2_vl

#: Call with a folder, and keywords for what is to differ; saves a checkpoint there.
MAKERS: dict[str, Callable[..., Path]] = {
    "llava-onevision": llava_onevision.make,
    "qwen2-vl": qwen2_vl.make,
    "qwen2.5-vl": qwen2_5_vl.make,
}
