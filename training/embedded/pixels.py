"""From frames to what the vision tower takes, exactly as Qwen2-VL's own processor does it."""

import torch
import torch.nn.functional as F

from training.embedded.architecture import MEAN, SIDE, STD


def resize(frames: torch.Tensor, side: int = SIDE) -> torch.Tensor:
    """Frames uint8 [F, H, W, 3] at the model's size: bicubic, antialiased, on whole numbers."""
    images = frames.permute(0, 3, 1, 2)
    small = F.interpolate(images, (side, side), mode="bicubic", antialias=True)
    return small.permute(0, 2, 3, 1).contiguous()


def patchify(frames: torch.Tensor) -> torch.Tensor:
    """Frames uint8 [2T, S, S, 3] as patches, float [T, (S/14)², 1176], in merge order."""
    steps, grid = frames.shape[0] // 2, frames.shape[1] // 28
    planes = frames.permute(0, 3, 1, 2).contiguous()
    # t, temporal, channel, h/merge, merge, patch, w/merge, merge, patch
    blocks = planes.view(steps, 2, 3, grid, 2, 14, grid, 2, 14)
    ordered = blocks.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).contiguous().float()
    mean, std = (255 * torch.tensor(x).view(3, 1, 1, 1) for x in (MEAN, STD))
    return ordered.sub_(mean).div_(std).view(steps, grid * grid * 4, 3 * 2 * 14 * 14)
