"""A scorer without a checkpoint: how much of a frame has a colour that the question names."""

import re

import attrs
import torch
from torch import Tensor

from retake.core.scorer import FrameTextScorer

# Hues in degrees, where one name ends and the next begins; red lies around 0.
_HUES = (
    ("red", 15.0),
    ("orange", 45.0),
    ("yellow", 70.0),
    ("green", 165.0),
    ("cyan", 200.0),
    ("blue", 258.0),
    ("purple", 300.0),
    ("pink", 345.0),
)
NAMES = (*(name for name, _ in _HUES), "brown", "black", "grey", "white")
_SYNONYMS = {
    "scarlet": "red",
    "gold": "yellow",
    "golden": "yellow",
    "turquoise": "cyan",
    "teal": "cyan",
    "navy": "blue",
    "violet": "purple",
    "magenta": "pink",
    "gray": "grey",
    "silver": "grey",
}
_WORDS = re.compile(rf"\b({'|'.join((*NAMES, *_SYNONYMS))})\b", re.IGNORECASE)
# Of the strongest channel and of the distance to the weakest, both in [0, 1].
_COLOURLESS, _DARK, _LIGHT, _BROWN = 0.25, 0.2, 0.8, 0.6
_FRAMES = 16  # looked at together


@attrs.frozen
class Colours(FrameTextScorer):
    """The share of a frame's pixels that have a colour the question names, in [0, 1].

    Every pixel has one of twelve common English names, by hue, and where it is pale, dark or
    grey by how light it is. Of a question that names several, the shares add up; synonyms count
    (gray, violet, turquoise …). A question that names no colour is rated by how light a frame
    is, the mean of its strongest channel, in [0, 1]: what is held into a picture to be seen (a
    card, a page, a screen) is mostly lighter than the rest.

    It knows nothing of objects or words. It is there to try the selectors that need the question
    where no checkpoint is at hand: in tests, and on the videos of `retake data make scenes`,
    whose needles are coloured shapes on light cards. Use `clip` for real footage.
    """

    def look(self, frames: Tensor) -> Tensor:
        """The share of each name's pixels, and how light the frame is: float32 `[F, 13]`."""
        starts = range(0, len(frames), _FRAMES)
        seen = [_shares(frames[start : start + _FRAMES]) for start in starts]
        return torch.cat(seen) if seen else torch.empty(0, len(NAMES) + 1)

    def rate(self, seen: Tensor, question: str) -> Tensor:
        named = named_colours(question)
        if not named:
            return seen[:, -1]
        return seen[:, [NAMES.index(name) for name in named]].sum(dim=1)


def named_colours(question: str) -> list[str]:
    """The colours that a question names, each once, in the order of `NAMES`."""
    words = {word.lower() for word in _WORDS.findall(question)}
    found = {_SYNONYMS.get(word, word) for word in words}
    return [name for name in NAMES if name in found]


def _shares(frames: Tensor) -> Tensor:
    """Float32 `[F, 13]` of uint8 frames `[F, H, W, 3]`."""
    pixels = frames.flatten(1, 2).float().cpu() / 255
    names = classify(pixels)
    counts = torch.stack([(names == number).sum(dim=1) for number in range(len(NAMES))], dim=1)
    light = pixels.amax(dim=-1).mean(dim=1, keepdim=True)
    return torch.cat((counts / max(1, pixels.shape[1]), light), dim=1)


def classify(pixels: Tensor) -> Tensor:
    """Which of `NAMES` each pixel has: int64 `[…]` of RGB `[…, 3]` in [0, 1]."""
    strongest, place = pixels.max(dim=-1)
    chroma = strongest - pixels.amin(dim=-1)
    red, green, blue = pixels.unbind(-1)
    around = torch.stack((green - blue, blue - red, red - green))
    offset = around.gather(0, place[None])[0] / chroma.clamp_min(1e-6)
    hue = (60 * (offset + 2 * place)) % 360
    borders = torch.tensor([end for _, end in _HUES])
    names = torch.bucketize(hue, borders, right=True) % len(_HUES)
    brown = (names == NAMES.index("orange")) & (strongest < _BROWN)
    names = names.where(~brown, NAMES.index("brown"))
    pale = (names == NAMES.index("red")) & (chroma < 0.5 * strongest) & (strongest >= _LIGHT)
    names = names.where(~pale, NAMES.index("pink"))
    shade = torch.where(strongest >= _LIGHT, NAMES.index("white"), NAMES.index("grey"))
    names = torch.where(chroma < _COLOURLESS, shade, names)
    return torch.where(strongest < _DARK, NAMES.index("black"), names)
