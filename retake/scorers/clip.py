"""CLIP, SigLIP and SigLIP 2 as frame–text scorers, from a checkpoint on disk."""

from typing import ClassVar

import attrs
import torch
from torch import Tensor

from retake.core.options import at_least
from retake.core.scorer import FrameTextScorer
from retake.scorers.towers import towers


@attrs.frozen
class Clip(FrameTextScorer):
    """The cosine similarity of frame and question in a model of pictures and their captions.

    CLIP (arXiv 2103.00020), SigLIP (arXiv 2303.15343) and SigLIP 2 (arXiv 2502.14786), by
    whichever checkpoint the folder holds, in the layout that `transformers` saves. It is read
    once a session; nothing is downloaded. Such models know captions better than questions, and
    words beyond the text tower's window are cut off (77 tokens for CLIP, 64 for SigLIP). Frames
    are seen as they were resized for the video's model, which may be smaller than what the tower
    was trained on.

    Attributes:
        path: folder of the checkpoint.
        device: where it is computed, as torch names devices (cpu, cuda, cuda:1, npu).
        batch: frames that are looked at together.

    Raises:
        ModelError: there is no checkpoint of these kinds, or it is incomplete.
        UsageError: the device is none of this machine's.
        MissingExtraError: its tokenizer needs sentencepiece.
    """

    source: ClassVar[str] = "arXiv 2103.00020, 2303.15343, 2502.14786"

    path: str
    device: str = "cpu"
    batch: int = attrs.field(default=32, validator=at_least(1))

    def look(self, frames: Tensor) -> Tensor:
        """Each frame's embedding, of length 1: float32 `[F, E]` on the host."""
        model = towers(self.path, self.device)
        starts = range(0, len(frames), self.batch)
        seen = [model.look(frames[start : start + self.batch].cpu()) for start in starts]
        return torch.cat(seen) if seen else torch.empty(0, model.width)

    def rate(self, seen: Tensor, question: str) -> Tensor:
        """The cosine similarity of each frame: float32 `[F]`, in [-1, 1]."""
        return seen @ towers(self.path, self.device).read(question)
