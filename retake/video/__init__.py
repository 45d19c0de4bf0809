"""Reading videos: which frames, then those frames only, the same from either reader.

Knows nothing of models: frames come upright, in RGB, at native size, with their true times.
"""

from retake.video.ahead import ReadAhead
from retake.video.archive import unpacked
from retake.video.available import ReaderStatus, readers
from retake.video.base import BadFrame, VideoReader
from retake.video.opening import open_video
from retake.video.sampling import SamplePlan, plan_samples

__all__ = [
    "BadFrame",
    "ReadAhead",
    "ReaderStatus",
    "SamplePlan",
    "VideoReader",
    "open_video",
    "plan_samples",
    "readers",
    "unpacked",
]
