"""What is said of how far a run is."""

from retake_cli.pace import Pace
from retake_cli.units import duration


def test_pace() -> None:
    """The rate is this session's; the accuracy that of all that have a score."""
    moment = [100.0]
    pace = Pace(lambda: moment[0])
    pace.begin(400, [1.0, 0.0, None])
    assert pace.line == "3 of 400 samples · 50.0 % right"
    moment[0] += 36
    for score in (1.0, 1.0, 0.5, None):
        pace.add(score)
    assert pace.line == "7 of 400 samples · 70.0 % right · 400 an hour · 59 min left"
    for _ in range(393):
        pace.add(1.0)
    assert pace.left == ""


def test_durations() -> None:
    """In the units that matter."""
    seconds = (0, 59, 60, 3599, 3600, 26_000, 180_000)
    said = ["0 s", "59 s", "1 min", "1 h 00 min", "1 h 00 min", "7 h 13 min", "2 d 2 h"]
    assert [duration(each) for each in seconds] == said
