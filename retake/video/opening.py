"""Opening a video: the file is checked, its frames are tabled, a reader is chosen and named."""

import os
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from retake.core.errors import MissingExtraError, UsageError, VideoError, unknown_name
from retake.core.frames import VideoInfo
from retake.video.available import decord_site
from retake.video.base import BadFramePolicy, VideoReader
from retake.video.checks import check_file
from retake.video.decord_process import DecordTroubleError
from retake.video.decord_reader import DecordReader, doubts
from retake.video.folder import FolderReader
from retake.video.index import ContainerIndex, read_index
from retake.video.pyav_reader import PyAVReader

# A gap of more seconds than this, and of so many times the usual one, is worth a note.
LONG_GAP = 0.5
LONG_GAP_RATIO = 8.0

# More decoding threads than this are not taken unasked.
MAX_THREADS = 8

ReaderName = Literal["auto", "decord", "pyav", "frames"]


def open_video(
    path: str | Path,
    *,
    reader: ReaderName = "auto",
    folder_fps: float | None = None,
    on_bad_frame: BadFramePolicy = "error",
    threads: int | None = None,
) -> VideoReader:
    """Open a video file, or a folder of numbered pictures, for reading chosen frames.

    Opening reads the container's table of frames and decodes one frame, never all.

    Args:
        path: the file or folder.
        reader: "decord" and "pyav" give the same frames; "auto" takes PyAV, which reads more
            kinds of file, no slower, and in memory that does not grow; "frames" is for folders.
        folder_fps: the frame rate of a folder of pictures, which cannot say it itself.
        on_bad_frame: "error" raises at the first frame that cannot be decoded, and on opening
            a file that is cut short; "report" leaves such frames out, lists them in
            `bad_frames`, and reads what there is of a cut file.
        threads: that decode, at least 1, in either reader; None for one a core, at most 8.
            The frames do not depend on it. Pictures of a folder are read in one thread.

    Raises:
        VideoError: the file is missing, unreadable, damaged, or holds no video.
        UsageError: the options do not fit the path.
        MissingExtraError: `reader` is "decord" and decord is not installed.
    """
    _check_options(reader, on_bad_frame, threads)
    path = Path(path)
    if path.is_dir():
        return _open_folder(path, reader, folder_fps, on_bad_frame)
    check_file(path)
    if reader == "frames":
        raise UsageError(f"reader='frames' is for a folder of pictures, and {path} is a file.")
    if folder_fps is not None:
        raise UsageError(f"folder_fps is for a folder of pictures, and {path} is a file.")
    site = _decord_site() if reader == "decord" else None
    index = read_index(path)
    notes = _whole(index, on_bad_frame)
    threads = threads or min(os.cpu_count() or 1, MAX_THREADS)
    if site is not None:
        opened: VideoReader = _by_decord(index, site, threads, on_bad_frame, cut=bool(notes))
    else:
        opened = PyAVReader(
            index, describe(index, "pyav"), threads=threads, on_bad_frame=on_bad_frame
        )
    opened.notes.extend([*notes, *_gap(index)])
    return opened


def _decord_site() -> str:
    """Where decord is installed; an error where it is not."""
    site = decord_site()
    if site is None:
        raise MissingExtraError(
            "reader='decord' needs the package 'decord', which is not installed.",
            hint="Install it with: pip install 'retake[decord]' (Linux x86_64 and Windows), "
            "or use reader='pyav'.",
        )
    return site


def _by_decord(
    index: ContainerIndex, site: str, threads: int, on_bad_frame: BadFramePolicy, *, cut: bool
) -> VideoReader:
    """decord, where it can be trusted with the file."""
    why = doubts(index) or ("the file is cut short" if cut else "")
    try:
        if not why:
            return DecordReader(
                index,
                describe(index, "decord"),
                site=site,
                threads=threads,
                on_bad_frame=on_bad_frame,
            )
    except DecordTroubleError as trouble:
        why = str(trouble)
    raise VideoError(
        f"reader='decord' cannot read {index.path} rightly: {why}.",
        hint="Use reader='pyav'.",
    )


def describe(index: ContainerIndex, reader: str) -> VideoInfo:
    """What there is to know of a video before any of its frames is decoded."""
    width, height = index.orientation.size(index.width, index.height)
    gaps = np.diff(index.times)
    usual = float(np.median(gaps)) if len(gaps) else 0.0
    uneven = max(gaps.max() - usual, usual - gaps.min()) if len(gaps) else 0.0
    count = len(index.pts)
    return VideoInfo(
        path=str(index.path),
        width=width,
        height=height,
        frame_count=count,
        fps=count / index.end if index.end > 0 else 0.0,
        duration=index.end,
        rotation=index.orientation.rotation,
        variable_rate=bool(uneven > 0.1 * usual + 1.5 * index.tick),
        codec=index.codec,
        reader=reader,
    )


def _open_folder(
    path: Path, reader: ReaderName, folder_fps: float | None, on_bad_frame: BadFramePolicy
) -> VideoReader:
    if reader not in ("auto", "frames"):
        raise UsageError(
            f"{path} is a folder, which reader='{reader}' cannot read.",
            hint="Leave the reader at 'auto', and state folder_fps.",
        )
    if folder_fps is None:
        raise UsageError(
            f"{path} is a folder of pictures, which do not say how fast they are shown.",
            hint="State it: folder_fps=2.0 where two pictures were taken each second.",
        )
    return FolderReader(path, folder_fps, on_bad_frame=on_bad_frame)


def _whole(index: ContainerIndex, on_bad_frame: BadFramePolicy) -> list[str]:
    """Refuse a file that is cut short, or, where bad frames are reported, note it."""
    if not index.missing and not index.trouble:
        return []
    count = len(index.pts)
    promised = f" of {index.promised}" if index.promised > count else ""
    seconds = f" of {index.promised_seconds:.2f} s" if index.promised_seconds > index.end else ""
    lost = f"{index.missing} bytes are missing at its end" if index.missing else index.trouble
    message = (
        f"{index.path} is cut short ({lost}): frames 0-{count - 1}{promised} "
        f"({index.end:.2f} s{seconds}) could be read"
    )
    if on_bad_frame == "error":
        raise VideoError(
            f"{message}.",
            hint="Fetch the file again, or read what there is with on_bad_frame='report'.",
        )
    return [f"{message}."]


def _gap(index: ContainerIndex) -> list[str]:
    """A note on a long gap between frames, which damage to the container can leave too."""
    gaps = np.diff(index.times)
    if not len(gaps) or gaps.max() <= max(LONG_GAP, LONG_GAP_RATIO * float(np.median(gaps))):
        return []
    after = int(gaps.argmax())
    return [
        f"No frame is stored between {index.times[after]:.2f} s and "
        f"{index.times[after + 1]:.2f} s: the rate varies, or damage took those frames."
    ]


def _check_options(reader: str, on_bad_frame: str, threads: int | None) -> None:
    if reader not in get_args(ReaderName):
        raise unknown_name("reader", reader, get_args(ReaderName))
    if on_bad_frame not in get_args(BadFramePolicy):
        raise unknown_name("on_bad_frame", on_bad_frame, get_args(BadFramePolicy))
    if threads is not None and threads < 1:
        raise UsageError(f"threads must be at least 1, got {threads}.")
