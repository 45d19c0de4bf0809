"""The files of published benchmarks: annotations, videos wherever they lie, subtitles."""

from retake.datasets.files.finding import VideoFinder
from retake.datasets.files.subtitles import Line, read_json, read_srt
from retake.datasets.files.tables import column, find_table, read_table

__all__ = [
    "Line",
    "VideoFinder",
    "column",
    "find_table",
    "read_json",
    "read_srt",
    "read_table",
]
