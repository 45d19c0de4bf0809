"""The scenes benchmark's videos: what they show, and how they come into a folder and stay there."""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from retake.core.errors import UsageError, VideoError
from retake.datasets.scenes import clip as clip_module
from retake.datasets.scenes import folder as folder_module
from retake.datasets.scenes.benchmark import Scenes
from retake.datasets.scenes.clip import decode
from retake.datasets.scenes.render import BACKGROUNDS, RGB, frames
from retake.datasets.scenes.world import Script, write_script


def small(root: Path, **options: Any) -> Scenes:
    """Two short videos of few pixels."""
    defaults: dict[str, Any] = {"root": root, "lengths": (5.0, 8.0), "videos": 1, "size": 48}
    return Scenes(**{**defaults, **options})


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder, but for hidden ones."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_sixteen_frames_show_the_card_at_its_time(tmp_path: Path) -> None:
    """Decoded: the card is there from its start to its end, in its colour, and else is not."""
    benchmark = Scenes(
        root=tmp_path, lengths=(4, 9), videos=3, depths=(0.1, 0.5, 0.9), size=96, needles=(1, 1)
    )
    for video in benchmark.make():
        needle = video.placed.script.needles[video.placed.asked]
        shown = np.stack(list(decode(video.clip.path))).astype(int)
        assert len(shown) == 4 * video.clip.seconds
        bare = attrs.evolve(video.placed.script, needles=())
        news = np.abs(shown - np.stack(list(frames(bare, size=96))).astype(int)).mean((1, 2, 3))
        times = np.arange(len(shown)) / 4
        is_up = (needle.start <= times) & (times < needle.end)
        assert is_up.any()
        assert news[is_up].min() > 40
        assert news[~is_up].max() < 12
        assert colour_of(shown[is_up][0]) == needle.colour


def colour_of(picture: np.ndarray) -> str:
    """The named colour that most of a picture's strongly coloured pixels are nearest to."""
    pixels = picture.reshape(-1, 3)
    strong = pixels[np.ptp(pixels, axis=1) > 70]
    palette = np.array(list(RGB.values()))
    nearest = ((strong[:, None] - palette) ** 2).sum(-1).argmin(1)
    return list(RGB)[np.bincount(nearest).argmax()]


def test_made_once_and_the_same_everywhere(tmp_path: Path) -> None:
    """Bytes follow from the options; what is there stays, what was lost comes back the same."""
    samples = small(tmp_path / "a").samples()
    small(tmp_path / "b").samples()
    first = contents(tmp_path / "a")
    assert first == contents(tmp_path / "b")
    assert sorted(first) == [
        "5s-seed0-000.json",
        "5s-seed0-000.mp4",
        "8s-seed0-000.json",
        "8s-seed0-000.mp4",
        "scenes.json",
    ]
    kept = tmp_path / "a" / "5s-seed0-000.mp4"
    before = kept.stat().st_mtime_ns
    (tmp_path / "a" / "8s-seed0-000.json").unlink()
    assert [s.id for s in small(tmp_path / "a").samples()] == [s.id for s in samples]
    assert contents(tmp_path / "a") == first
    assert kept.stat().st_mtime_ns == before


def test_lengths_seeds_and_videos_join(tmp_path: Path) -> None:
    """A folder grows without a change to what is in it; kinds and forms share its videos."""
    small(tmp_path).make()
    before = contents(tmp_path)
    small(tmp_path, lengths=(5.0, 6.0), videos=2, seeds=2, answers="letters").make()
    after = contents(tmp_path)
    assert before.items() <= after.items()
    assert sum(name.endswith(".mp4") for name in after) == 9


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"needles": (1, 2)}, "needles is [1, 4], not [1, 2]"),
        ({"needle_seconds": (1, 1)}, "needle_seconds is [1.0, 2.0], not [1.0, 1.0]"),
        ({"depths": (0.5,)}, "depths is"),
        ({"fps": 8}, "fps is 4.0, not 8.0"),
        ({"size": 64, "background": "busy"}, "background is calm, not busy; size is 48, not 64"),
    ],
)
def test_a_folder_made_with_other_options_is_refused(
    tmp_path: Path, option: dict[str, Any], words: str
) -> None:
    """The message names what differs, and nothing is changed."""
    small(tmp_path, lengths=(5.0,)).make()
    before = contents(tmp_path)
    with pytest.raises(UsageError) as caught:
        small(tmp_path, lengths=(5.0,), **option).samples()
    assert words in str(caught.value)
    assert contents(tmp_path) == before


def test_folders_of_something_else_are_refused(tmp_path: Path) -> None:
    """One with other files, one with another manifest, and a file where a folder should be."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    for text in ("{}", "[]", "no JSON", '{"format": "retake.scenes/9", "recipe": {}}'):
        (tmp_path / "other").mkdir(exist_ok=True)
        (tmp_path / "other" / "scenes.json").write_text(text)
        with pytest.raises(UsageError, match=r"scenes\.json"):
            small(tmp_path / "other").samples()
    with pytest.raises(UsageError, match=r"a\.jpg"):
        small(tmp_path / "photos").samples()
    with pytest.raises(UsageError, match=r"other/scenes\.json"):
        small(tmp_path / "other" / "scenes.json").samples()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 1, "video": 3}', "cut of"])
def test_a_damaged_sidecar_is_an_error(tmp_path: Path, text: str) -> None:
    """Named, and never made again unasked."""
    small(tmp_path, lengths=(5.0,)).make()
    sidecar = tmp_path / "5s-seed0-000.json"
    sidecar.write_text(text)
    with pytest.raises(VideoError, match=r"5s-seed0-000\.json"):
        small(tmp_path, lengths=(5.0,)).samples()
    assert sidecar.read_text() == text


def test_a_foreign_video_is_an_error(tmp_path: Path) -> None:
    """The sidecar of another video, and a video without a byte."""
    videos = small(tmp_path).make()
    sidecars = [video.clip.path.with_suffix(".json") for video in videos]
    right = sidecars[0].read_text()
    sidecars[0].write_text(sidecars[1].read_text())
    with pytest.raises(VideoError, match="tells of other path, seconds, seed, scenes"):
        small(tmp_path).samples()
    sidecars[0].write_text(right)
    videos[0].clip.path.write_bytes(b"")
    with pytest.raises(VideoError, match="no picture"):
        small(tmp_path).samples()


def test_another_video_under_a_sidecar_is_an_error(tmp_path: Path) -> None:
    """Told by its size; of the same size, by its content; and named."""
    first, second = (video.clip.path for video in small(tmp_path).make())
    right = second.read_bytes()
    shutil.copy(first, second)
    with pytest.raises(VideoError, match=r"8s-seed0-000\.mp4 .* has [\d,]+ bytes, .* of has"):
        small(tmp_path).samples()
    second.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    with pytest.raises(VideoError, match=r"8s-seed0-000\.mp4 .*SHA-256"):
        small(tmp_path).samples()
    second.write_bytes(right)
    assert small(tmp_path).samples()


def test_a_large_video_is_told_by_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where hashing takes long, size still counts and content does not."""
    monkeypatch.setattr(folder_module, "_HASHED", 10)
    path = small(tmp_path, lengths=(5.0,)).make()[0].clip.path
    right = path.read_bytes()
    path.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    assert small(tmp_path, lengths=(5.0,)).samples()
    path.write_bytes(right + b"0")
    with pytest.raises(VideoError, match="bytes"):
        small(tmp_path, lengths=(5.0,)).samples()


def test_sidecars_without_size_and_hash_are_read(tmp_path: Path) -> None:
    """As older releases wrote them: the rest is compared, and nothing is made again."""
    path = small(tmp_path, lengths=(5.0,)).make()[0].clip.path.with_suffix(".json")
    data = json.loads(path.read_text())
    assert data.pop("bytes") == path.with_suffix(".mp4").stat().st_size
    assert data.pop("sha256") == sha256(path.with_suffix(".mp4").read_bytes()).hexdigest()
    path.write_text(json.dumps(data))
    assert small(tmp_path, lengths=(5.0,)).samples()
    assert json.loads(path.read_text()) == data


def test_a_failure_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The video under way is gone, the next run makes it."""

    def fail(*args: Any, **options: Any) -> None:
        Path(args[1]).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(clip_module, "encode", fail)
        with pytest.raises(OSError, match="No space"):
            small(tmp_path).make()
    assert [path.name for path in tmp_path.iterdir()] == ["scenes.json"]
    assert small(tmp_path).samples()


def test_several_makers_at_once(tmp_path: Path) -> None:
    """They end well, and the folder is as if one had made it."""
    with ThreadPoolExecutor(4) as pool:
        makers = [small(tmp_path / "many") for _ in range(4)]
        made = list(pool.map(lambda maker: maker.make(), makers))
    assert made[1:] == made[:-1]
    small(tmp_path / "one").make()
    assert contents(tmp_path / "many") == contents(tmp_path / "one")
    assert not list((tmp_path / "many").glob(".*"))


def test_progress_goes_up_to_the_number_of_videos(tmp_path: Path) -> None:
    """Within videos and from one to the next; what is there counts as done."""
    for _ in range(2):
        told: list[tuple[float, int]] = []
        small(tmp_path).make(lambda done, total: told.append((done, total)))  # noqa: B023
        assert told[-1] == (2, 2)
        assert all(earlier <= later for earlier, later in pairwise(told))


def test_the_default_folder_is_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One for each recipe; lengths, seeds and questions share it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    plain = Scenes()
    assert plain.folder.parent == tmp_path / "retake" / "scenes"
    for same in ({"lengths": (9.0,)}, {"seeds": 3}, {"videos": 9}, {"answers": "letters"}):
        assert Scenes(**same).folder == plain.folder
    for other in ({"size": 64}, {"depths": (0.5,)}, {"background": "busy"}, {"fps": 2}):
        assert Scenes(**other).folder != plain.folder
    Scenes(lengths=(5.0,), videos=1, size=32).samples()
    manifest = next(tmp_path.glob("retake/scenes/*/scenes.json"))
    assert json.loads(manifest.read_text())["recipe"]["size"] == 32


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """The folder and the system's reason are named."""
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=f"file{os.sep}sub.*: Not a directory"):
        small(tmp_path / "file" / "sub").samples()


def test_backgrounds_grow_harder() -> None:
    """Calm is what it was; from one to the next more changes that is no news."""

    def change(script: Script, name: str) -> float:
        shown = np.stack(list(frames(script, size=64, background=BACKGROUNDS[name]))).astype(int)
        return float(np.abs(np.diff(shown, axis=0)).mean())

    script = attrs.evolve(write_script(12, 1), needles=())
    plain, calm = (
        np.stack(list(frames(script, size=64, **options)))
        for options in ({}, {"background": BACKGROUNDS["calm"]})
    )
    assert np.array_equal(plain, calm)
    calm_change, busy, wild = (change(script, name) for name in ("calm", "busy", "wild"))
    assert calm_change * 1.5 < busy
    assert busy * 1.5 < wild
