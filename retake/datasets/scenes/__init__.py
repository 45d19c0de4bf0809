"""Synthetic scene videos: a world with real video's redundancy, drawn, encoded and asked about."""

from retake.datasets.scenes.clip import Clip, make_clip
from retake.datasets.scenes.questions import KINDS, NEEDLE_KINDS, Question, ask
from retake.datasets.scenes.world import COLOURS, SHAPES, Needle, Scene, Script, write_script

__all__ = [
    "COLOURS",
    "KINDS",
    "NEEDLE_KINDS",
    "SHAPES",
    "Clip",
    "Needle",
    "Question",
    "Scene",
    "Script",
    "ask",
    "make_clip",
    "write_script",
]
