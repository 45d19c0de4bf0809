"""How pages draw: scales, looks, line panels, heat maps, lanes over time, keyframes."""

import base64
import io
import re
from importlib.resources import files
from pathlib import Path

import av
import numpy as np
import pytest

from retake.evaluation.report.document import Cell, Table
from retake.evaluation.report.filmstrip import Moment, clock, jpeg, keyframes, pictures
from retake.evaluation.report.heat import Entry, heat_map
from retake.evaluation.report.lines import (
    LARGE,
    Frame,
    Point,
    Series,
    accuracy_axis,
    amount_axis,
    step_axis,
)
from retake.evaluation.report.scales import Scale, round_ticks, share_text
from retake.evaluation.report.styles import COLOURS, styles, with_leaders
from retake.evaluation.report.timeline import binned, curve, heat, time_ticks
from retake.evaluation.report.wording import fixed, seconds_long
from retake.video import open_video
from tests.video.make import make_video

STYLE = files("retake.evaluation.report").joinpath("templates", "style.css").read_text()


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.25, 0.5, 0.75, 1.0]),
        (0.32, 1.0, [0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.0, 7.3, [0.0, 2.0, 4.0, 6.0, 8.0]),
        (3.0, 3.0, [3.0, 4.0]),
    ],
)
def test_round_ticks(low: float, high: float, expected: list[float]) -> None:
    """Few round numbers that hold what lies between them."""
    assert round_ticks(low, high) == expected


def test_scales_are_straight_or_logarithmic() -> None:
    """Equal steps of the value, or of its power of two."""
    assert [Scale(0, 4, 10, 50)(value) for value in (0, 1, 4)] == [10, 20, 50]
    assert [Scale(1, 16, 0, 40, log=True)(value) for value in (1, 4, 16)] == [0, 20, 40]
    assert Scale(3, 3, 0, 40)(3) == 20


def test_numbers_as_words() -> None:
    """Shares as fractions where they are, lengths and amounts in few digits."""
    assert [share_text(each) for each in (1, 0.5, 0.125, 1 / 3, 0.3)] == [
        *("1", "1/2", "1/8", "1/3", "0.3")
    ]
    assert [seconds_long(each) for each in (64.0, 3600.0, 7200.0)] == ["64 s", "60 min", "2 h"]
    assert [fixed(each) for each in (None, 0, 0.01234, 1.5, 1234.5)] == [
        *("–", "0", "0.0123", "1.50", "1,234")
    ]
    assert [clock(each) for each in (4.5, 65, 3723)] == ["4.5 s", "1:05", "1:02:03"]


def test_no_two_methods_look_alike() -> None:
    """Not even without colour: of twenty, dash and marker together are each one's own."""
    made = styles([f"method {number}" for number in range(20)], reference="method 3")
    looks = {(style.dash, style.marker) for style in made.values()}
    assert len(looks) == 20
    assert made["method 3"].colour == -1
    quiet = with_leaders(made, ["method 0"])
    assert [name for name, style in quiet.items() if not style.quiet] == ["method 0", "method 3"]


def test_points_stand_where_their_values_are() -> None:
    """A line's places and whiskers, read back through the axes, are the numbers."""
    x, y = step_axis(LARGE, [0.25, 0.5, 1.0], "share", share_text), accuracy_axis(LARGE, [0.4])
    style = styles(["one"])["one"]
    points = (Point(1.0, 0.9, 0.8, 1.0), Point(0.25, 0.4, 0.3, 0.5))
    (line,) = Frame(size=LARGE, x=x, y=y).panel("", [Series(style, points)]).lines
    assert line.places == tuple((x.scale(p.x), y.scale(p.y)) for p in reversed(points))
    (first, second) = line.places
    assert line.path == f"M{first[0]:g} {first[1]:g}L{second[0]:g} {second[1]:g}"
    assert line.whiskers.count("V") == 2
    assert y.placed[-1] == (LARGE.top, "100")


def test_what_keeps_everything_goes_right_across() -> None:
    """A reference has one point, and is a line over the whole width."""
    x, y = step_axis(LARGE, [0.25, 1.0], "share", share_text), amount_axis(LARGE, [3.0], "s")
    style = styles(["full"], reference="full")["full"]
    (line,) = Frame(size=LARGE, x=x, y=y).panel("", [Series(style, (Point(1.0, 3.0),))]).lines
    assert line.path.startswith(f"M{x.scale.start:g} ")
    assert f"L{x.scale.stop:g} " in line.path


def test_labels_of_an_axis_do_not_touch() -> None:
    """Of many lengths only those are written that have room; the ends are."""
    axis = step_axis(LARGE, [60 * 1.1**n for n in range(30)], "length", seconds_long)
    places = [place for place, _ in axis.placed]
    assert len(places) >= 3
    widths = [6.5 * len(text) for _, text in axis.placed]
    for at in range(1, len(places)):
        assert places[at] - places[at - 1] > (widths[at] + widths[at - 1]) / 2


def test_heat_map_boxes() -> None:
    """A box an entry, deeper where higher; wide enough for its labels."""
    entries = {(0, 0): Entry(1.0, "100", "all"), (1, 1): Entry(0.0, "0", "none")}
    made = heat_map("map", entries, ["64 s", "1024–2048 s"], ["0 %", "100 %"])
    assert [(box.level, box.text) for box in made.boxes] == [(8, "100"), (0, "0")]
    assert made.boxes[1].x - made.boxes[0].x == made.box[0] > 6 * len("1024–2048 s")
    assert made.boxes[0].y < made.boxes[1].y


def test_lanes_merge_boxes_and_leave_gaps_empty() -> None:
    """Equal neighbours are one box; nothing, and what is not known, is none."""
    lane = heat("held", np.array([[1.0, 1.0, 0.0, 0.5], [np.nan, 0.01, 0.0, 0.0]]), height=10)
    assert dict(lane.fills) == {
        1: "M1 1h1v1h-1z",
        4: "M3 0h1v1h-1z",
        8: "M0 0h2v1h-2z",
    }
    assert (lane.columns, lane.rows, lane.bottom) == (4, 2, "layer 2")


def test_long_videos_are_averaged() -> None:
    """Columns of a long video are means, each step counting once; NaN is left out."""
    shares = np.tile([0.0, 1.0, np.nan], 1000)[None]
    made = binned(shares, 100)
    assert made.shape == (1, 100)
    assert np.nanmean(made) == pytest.approx(0.5, abs=0.01)
    assert binned(shares[:, :50], 100) is not shares
    assert np.isnan(binned(np.full((1, 300), np.nan), 100)).all()


def test_curve_is_a_plateau_a_step() -> None:
    """From the largest at the top to zero at the bottom, marks in the middle of steps."""
    lane = curve("change", np.array([1.0, 0.0, 2.0]), height=10, marks=[2])
    assert lane.line == "M0 0.5000H1L1 1.0000H2L2 0.0000H3"
    assert (lane.top, lane.marks) == ("2.00", (2.5,))
    assert time_ticks(0.0, 40.0)[0] == (0.0, "0 s")


def test_keyframes_are_strong_and_spread() -> None:
    """The strongest of each part first, then the strongest left; in order, no more than asked."""
    change = np.zeros(100)
    change[[3, 5, 40, 60, 99]] = [0.9, 0.8, 0.1, 0.3, 0.2]
    peaks = change > 0
    assert keyframes(change, peaks, 2) == [3, 60]
    assert keyframes(change, peaks, 4) == [3, 40, 60, 99]
    assert keyframes(change, peaks, 24) == [3, 5, 40, 60, 99]
    assert keyframes(np.zeros(4), np.zeros(4, dtype=bool)) == []


def test_pictures_are_jpeg() -> None:
    """Read back, a picture is what it was, nearly."""
    image = np.full((48, 64, 3), (200, 40, 90), dtype=np.uint8)
    uri = jpeg(image)
    raw = base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))
    with av.open(io.BytesIO(raw)) as shown:
        back = next(shown.decode(video=0)).to_ndarray(format="rgb24")
    assert back.shape == image.shape
    assert np.abs(back.astype(int) - image).max() < 8


def test_a_keyframe_shows_what_has_changed(tmp_path: Path) -> None:
    """Of a step's frames the one least like the frame before it, with its own time."""
    path = make_video(tmp_path / "video.mp4", frames=8, fps=2, numbers=[0, 0, 0, 4095, 0, 0, 0, 0])
    with open_video(path) as reader:
        moment = Moment(((2, 1.0), (3, 1.5)), before=1, small="0.90")
        first = Moment(((0, 0.0), (1, 0.5)), before=None, small="1.00")
        shown = list(pictures(reader, [first, moment]))
    assert [(each.time, each.small) for each in shown] == [("0 s", "1.00"), ("1.5 s", "0.90")]
    assert (shown[0].width, shown[0].height) == (160, 90)


def test_tables_are_rectangular() -> None:
    """A row of another length is a mistake of the page's author."""
    with pytest.raises(ValueError, match="2 columns"):
        Table("", ("a", "b"), ((Cell("1"),),))


def _variables(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    light = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2]


def _contrast(one: str, other: str) -> float:
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_colours_are_legible(dark: bool) -> None:
    """By day and by night: text 4.5 to 1 (WCAG 2.2, AA), lines and boxes 3 to 1."""
    light, _, night = STYLE.partition("@media (prefers-color-scheme: dark)")
    found = _variables(light.partition("*")[0]) | (
        _variables(night.partition("* {")[0]) if dark else {}
    )
    for paper in ("paper", "panel"):
        for text in ("ink", "soft", "link"):
            assert _contrast(found[text], found[paper]) >= 4.5, (text, paper)
    for number in range(COLOURS):
        assert _contrast(found[f"c{number}"], found["paper"]) >= 3, number
    assert _contrast(found["on-deep"], found["deep"]) >= 4.5
    assert _contrast(found["ink"], found["warn-paper"]) >= 4.5


@pytest.mark.parametrize("dark", [False, True])
def test_numbers_in_boxes_are_legible(dark: bool) -> None:
    """On every depth of a heat map, by the ink that the style sheet gives it."""
    light, _, night = STYLE.partition("@media (prefers-color-scheme: dark)")
    found = _variables(night.partition("* {")[0] if dark else light.partition("*")[0])
    shares = {int(n): float(s) for n, s in re.findall(r"\.q(\d) \{ fill-opacity: ([\d.]+)", STYLE)}
    assert set(shares) == set(range(9))
    for level, share in shares.items():
        ink = found["on-deep" if level >= 6 else "ink"]
        assert _contrast(ink, _mixed(found["deep"], found["paper"], share)) >= 4.5, level


def _mixed(top: str, below: str, share: float) -> str:
    parts = [
        round(share * int(top[at : at + 2], 16) + (1 - share) * int(below[at : at + 2], 16))
        for at in (1, 3, 5)
    ]
    return "#" + "".join(f"{part:02x}" for part in parts)
