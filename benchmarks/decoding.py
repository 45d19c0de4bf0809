"""Going on decoding, seeking, or what the reader chooses by measured cost, at four sampling rates.

A generated H.264 film (640 x 360, 25 frames a second, B-frames, key frames every 250 or every
50 frames) is sampled densely and sparsely by the PyAV reader, once made to decode on always, once
made to seek always, once left to choose. decord's own way stands next to them. Each time contains
the opening of the file; the reader knows nothing yet of what things cost.

    python -m benchmarks.decoding [--quick] [--threads N]
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import av
from av.video.frame import PictureType

from benchmarks import harness
from retake.video import open_video
from retake.video.available import decord_site
from retake.video.opening import ReaderName
from retake.video.pace import Pace

_FPS = 25
_GOPS = (250, 50)
# Name, frames from one sample to the next, seconds of film that are read.
_RATES = (
    ("every 2nd frame", 2, 60),
    ("1 a second", _FPS, 300),
    ("1 in 10 s", 10 * _FPS, 900),
    ("1 a minute", 60 * _FPS, 900),
)
_WAYS: dict[str, Callable[[Pace, int], bool] | None] = {
    "goes on": lambda pace, frames: False,
    "seeks": lambda pace, frames: frames > 0,
    "chooses": None,
}


def film(seconds: int, gop: int) -> Path:
    """A moving test picture of so many seconds, made once and kept."""
    folder = harness.CACHE / "videos"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"decoding-{seconds}s-gop{gop}.mp4"
    if path.exists():
        return path
    graph = av.filter.Graph()
    graph.add("testsrc2", f"size=640x360:rate={_FPS}").link_to(graph.add("buffersink"))
    graph.configure()
    partial = path.with_suffix(".partial")
    with av.open(str(partial), "w", format="mp4") as out:
        options = {"preset": "veryfast", "x264-params": f"keyint={gop}:min-keyint={gop}:scenecut=0"}
        stream = out.add_stream("libx264", rate=_FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for _ in range(seconds * _FPS):
            frame = graph.vpull().reformat(format="yuv420p")
            frame.pict_type = PictureType.NONE  # the filter calls each a key frame
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    partial.replace(path)
    return path


@contextmanager
def _made_to(way: str) -> Iterator[None]:
    """Every reader goes the one way, or chooses."""
    choice = _WAYS[way]
    if choice is None:
        yield
        return
    with patch.object(Pace, "seeking_pays", choice):
        yield


def _read(path: Path, step: int, seconds: int, reader: ReaderName, threads: int | None) -> int:
    """Open, sample, close; how many frames came."""
    with open_video(path, reader=reader, threads=threads) as opened:
        return sum(len(batch) for batch in opened.read(range(0, seconds * _FPS, step)))


def _cases(
    path: Path, step: int, seconds: int, threads: int | None
) -> dict[str, Callable[[], object]]:
    def by_pyav(way: str) -> Callable[[], object]:
        def case() -> None:
            with _made_to(way):
                _read(path, step, seconds, "pyav", threads)

        return case

    cases = {way: by_pyav(way) for way in _WAYS}
    if decord_site() is not None:
        cases["decord"] = lambda: _read(path, step, seconds, "decord", threads)
    cases["only opens"] = lambda: open_video(path, reader="pyav", threads=threads).close()
    return cases


def measure(total: int, rounds: int, threads: int | None) -> harness.Result:
    """Seconds of each way at each rate, in interleaved rounds."""
    table: list[list[object]] = []
    data: dict[str, Any] = {}
    worst = 0.0
    for gop in _GOPS:
        path = film(total, gop)
        for name, step, seconds in _RATES:
            seconds = min(seconds, total)
            took = harness.interleaved(_cases(path, step, seconds, threads), rounds)
            if not table:
                table.append(["key frames every, sampled", "frames", *took])
            best = [min(pair) for pair in zip(took["goes on"], took["seeks"], strict=True)]
            worst = max(worst, harness.ratio(took["chooses"], best).median)
            cells = [harness.median_and_spread(each).text(2, "s") for each in took.values()]
            row = f"{gop}, {name}"
            table.append([row, len(range(0, seconds * _FPS, step)), *cells])
            data[row] = took
    notes = [
        f"{rounds} interleaved rounds after one that is not counted; medians (lowest to highest). "
        f"The film lasts {total} s; of it {', '.join(f'{s} s ({n})' for n, _, s in _RATES)} are "
        f"read, or all where it is shorter.",
        f"Chosen against the better of the two in the same round: at worst {worst:.2f} times.",
    ]
    return harness.Result(table, notes, {"seconds": data, "worst": worst})


def main() -> None:
    """Parse the command line, measure, report."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--threads", type=int, help="of the decoder; as many as it takes itself")
    given = parser.parse_args()
    total, rounds = (120, 3) if given.quick else (900, 7)
    harness.finish("decoding", measure(total, rounds, given.threads), given)


if __name__ == "__main__":
    main()
