"""`retake data verify`, as the process that a user starts and as its document."""

import json
from pathlib import Path

import pytest

from tests.archives import damage
from tests.cli.conftest import Run
from tests.miniatures import longvideobench, videomme


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Video-MME as it is on the hub, in zips."""
    folder = tmp_path / "Video-MME"
    videomme.make(folder)
    return folder


def test_complete(process: Run, root: Path) -> None:
    """Everything is there: exit code 0, a table, and what was not opened is said."""
    done = process("data", "verify", "videomme", "--root", root)
    assert done.code == 0, done.err
    assert done.err == ""
    assert f"videomme · {root}" in done.out
    assert "Annotations" in done.out
    assert "Complete: everything that a run needs is there." in done.out
    assert f"{len(videomme.VIDEOS)} files in archives were seen there and not opened" in done.out
    assert "Questions: 18 of 2,700 published\n" in done.out
    assert "Videos without subtitles: 2\n" in done.out
    assert done.out.splitlines()[-1] == (
        "But not what was published: 18 of 2,700 questions, 6 of 900 videos, "
        "4 of 744 videos with subtitles. A run's figures are those of what there is."
    )


def test_incomplete(process: Run, root: Path) -> None:
    """A zip that is not there, and one that is damaged inside: exit code 1, and each is named."""
    lost, *_, broken = (video.videoID for video in videomme.VIDEOS)
    (root / "videos_chunked_01.zip").unlink()
    damage(root / "videos_chunked_02.zip", f"data/{broken}.mp4")
    (root / "notes.mp4").write_bytes(b"1")
    done = process("data", "verify", "videomme", "--root", root, "--deep")
    assert done.code == 1
    assert f"{lost}.mp4  There is no " in done.out
    assert f"'data/{broken}.mp4' in {root / 'videos_chunked_02.zip'} is damaged" in done.out
    assert f"{root / 'notes.mp4'}  1 B" in done.out
    half = len(videomme.VIDEOS) // 2
    assert f"that a run needs {half} missing and 1 corrupt." in done.out


def test_document(retake: Run, root: Path) -> None:
    """--json says everything of every file."""
    (root / "subtitle.zip").unlink()
    done = retake("data", "verify", f"videomme:root={root}", "--json")
    assert done.code == 0, done.err
    data = done.data
    assert (data["benchmark"], data["root"], data["complete"]) == ("videomme", str(root), True)
    assert data["contents"] == {
        "questions": {"found": 18, "published": 2700},
        "videos": {"found": 6, "published": 900},
        "videos with subtitles": {"found": 0, "published": 744},
        "videos without subtitles": {"found": 6, "published": None},
    }
    counts = data["counts"]
    assert counts["videos"]["files"] == counts["videos"]["usable"] == len(videomme.VIDEOS)
    assert counts["annotations"]["needed"] == 1
    assert counts["subtitles"]["usable"] == 0
    for file in data["files"]:
        missing = file["what"] == "subtitles"
        assert file["state"] == ("missing" if missing else "sound")
        assert file["needed"] == (not missing)


def test_options_of_the_benchmark(retake: Run, tmp_path: Path) -> None:
    """A split is chosen as for `retake eval`; a root that looks like YAML is a path."""
    root = tmp_path / "2024: x"
    longvideobench.make(root)
    words = ("data", "verify", "longvideobench", "--root", root, "--json")
    needed = [
        {file["name"] for file in retake(*words, *more).data["files"] if file["needed"]}
        for more in ((), ("--benchmark-option", "split=test"))
    ]
    assert needed[0] != needed[1]


def test_no_questions(retake: Run, root: Path) -> None:
    """A table of videos about which nothing is asked is a corrupt one: exit code 1."""
    video = {"video_id": "001", "duration": "short", "domain": "d", "sub_category": "s"}
    (root / "none.json").write_text(json.dumps([{**video, "questions": []}]))
    done = retake("data", "verify", f"videomme:root={root},annotations=none.json")
    assert done.code == 1
    assert f"There are no questions in {root / 'none.json'}." in done.out.replace("\n", " ")
    assert "of 1 files that a run needs 1 corrupt" in done.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("videomme",), "is not shipped: say where it is"),
        (("videomme", "--root", ""), "it is empty"),
        (("videomme:root=",), "is not shipped: say where it is"),
        (("videomme", "--root", "/none/at/all"), "/none/at/all"),
        (("videome", "--root", "."), "Did you mean 'videomme'"),
        (("scenes", "--root", "."), "there is nothing to verify"),
        (("videomme", "--root", ".", "--benchmark-option", "splat=1"), "splat"),
    ],
)
def test_refusals(retake: Run, words: tuple[str, ...], message: str) -> None:
    """What cannot be verified at all is a wrong request: exit code 2."""
    done = retake("data", "verify", *words)
    assert done.code == 2
    assert message in done.err
    assert done.out == ""
