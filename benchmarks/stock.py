"""The baseline without retake: stock `transformers`, everything at once.

All frames are decoded into one array (`transformers.video_utils.load_video`, by decord), then
preprocessed by the stock Pillow processor, then encoded and prefilled in one forward pass. Where
torchvision is missing, `transformers` has no video processor; its image processor gives each
frame the same patches, so frames are put through it and joined in pairs. That is done in slices
that write into one array: kinder to memory than the processor's own loop, which would hold
everything three times.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoTokenizer, Qwen2VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.video_utils import load_video

from retake.models.embedded import checkpoint_path

if TYPE_CHECKING:
    from benchmarks.contestants import Job

# Frames put through the processor at a time; its results go into one array.
_SLICE = 64


class Stock:
    """A stock model with its tokenizer and its Pillow processor."""

    def __init__(self, folder: Path | None) -> None:
        path = str(folder or checkpoint_path())
        model: Any = Qwen2VLForConditionalGeneration.from_pretrained(path, dtype=torch.float32)
        self.model = model.eval()
        self.tokenizer: Any = AutoTokenizer.from_pretrained(path)
        self.processor = Qwen2VLImageProcessorPil.from_pretrained(path)

    def decode(self, video: str, indices: list[int]) -> np.ndarray[Any, Any]:
        """All frames: uint8 `[F, H, W, 3]`."""
        load: Any = load_video
        frames, _ = load(video, backend="decord", sample_indices_fn=lambda metadata, **_: indices)
        return np.asarray(frames)

    def preprocess(self, frames: np.ndarray[Any, Any]) -> tuple[Tensor, Tensor]:
        """All patches `[P, 1176]`, and the grid `[1, 3]`."""
        values: np.ndarray[Any, Any] | None = None
        steps = len(frames) // 2
        for start in range(0, 2 * steps, _SLICE):
            part = list(frames[start : min(start + _SLICE, 2 * steps)])
            made = self.processor(images=part, input_data_format="channels_last")
            height, width = made["image_grid_thw"][0][1:]
            # A frame's patches hold it twice, as if it filled the step: take it once of each.
            twice = np.asarray(made["pixel_values"]).reshape(len(part), height * width, 3, 2, -1)
            pairs = np.stack((twice[0::2, :, :, 0], twice[1::2, :, :, 1]), axis=3)
            rows = pairs.reshape(-1, np.prod(pairs.shape[2:]))
            if values is None:
                values = np.empty((steps * height * width, rows.shape[1]), dtype=np.float32)
            first = start // 2 * height * width
            values[first : first + len(rows)] = rows
        assert values is not None
        return torch.from_numpy(values), torch.tensor([[steps, int(height), int(width)]])

    def prompt(self, question: str) -> tuple[list[int], list[int]]:
        """Token ids before and behind the video."""
        content = [{"type": "video"}, {"type": "text", "text": question}]
        text = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        before, _, behind = text.partition("<|video_pad|>")
        ids = [
            self.tokenizer(part, add_special_tokens=False).input_ids for part in (before, behind)
        ]
        return ids[0], ids[1]


def run(job: "Job", folder: Path | None, indices: list[int]) -> dict[str, Any]:
    """Decode, preprocess, encode and prefill a whole video at once; generate."""
    stock = Stock(folder)
    start = time.perf_counter()
    frames = stock.decode(job.video, indices)
    decoded = time.perf_counter()
    values, grid = stock.preprocess(frames)
    preprocessed = time.perf_counter()
    before, behind = stock.prompt(job.questions[0])
    tokens = int(grid.prod()) // 4
    video = stock.model.config.video_token_id
    ids = torch.tensor([[*before, *[video] * tokens, *behind]])
    with torch.inference_mode():
        answer = stock.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            mm_token_type_ids=(ids == video).int() * 2,
            pixel_values_videos=values,
            video_grid_thw=grid,
            max_new_tokens=1,
            do_sample=False,
        )
    done = time.perf_counter()
    return {
        "ttft": done - start,
        "stages": {
            "decode": decoded - start,
            "preprocess": preprocessed - decoded,
            "encode + prefill": done - preprocessed,
        },
        "indices": indices,
        "tokens": tokens,
        "kept": tokens,
        "answers": [stock.tokenizer.decode(answer[0, ids.shape[1] :])],
    }
