"""Every recorded Qwen2-VL run: from patches to generated tokens as the published code does."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from retake.compressors.none import NoCompression
from retake.core.adapter import Patches
from retake.core.tokens import VisualTokens
from retake.models.qwen2_vl import Qwen2VL
from retake.selectors.none import NoSelection
from tests.parity import replaying
from tests.parity.replaying import Close

_FAMILY = "qwen2vl"


class Scene(replaying.Scene):
    """Qwen2-VL's: a video is all placeholders, and nothing closes it."""

    @property
    def span(self) -> tuple[int, int]:
        return self.placeholders

    @property
    def grid(self) -> tuple[int, int, int]:
        steps, rows, columns = self.inputs["video_grid_thw"][0].tolist()
        return steps, rows, columns

    @property
    def steps(self) -> int:
        return self.grid[0]

    def patches(self) -> Tensor:
        return self.inputs["pixel_values_videos_int8"].float() / 64

    def tokens(self, adapter: Qwen2VL, steps_at_once: int) -> VisualTokens:
        steps, rows, columns = self.grid
        parts = [
            adapter.encode(Patches(part, (len(part) // (rows * columns), rows, columns)))
            for part in self.patches().split(steps_at_once * rows * columns)
        ]
        merge = adapter.rules.merge
        grid = (rows // merge, columns // merge)
        return VisualTokens(torch.cat(parts).detach(), torch.arange(steps).double(), grid)

    def tokens_of_frames(self, adapter: Qwen2VL, frames: int) -> int:
        folded = adapter.rules.merge**2 * adapter.rules.temporal
        return frames * self.grid[1] * self.grid[2] // folded


@pytest.fixture(scope="module")
def scene(
    goldens: Path, tmp_path_factory: pytest.TempPathFactory, save_tokenizer: Callable[[Path], None]
) -> replaying.Scene:
    """The recorded inputs, and the recorded checkpoint in a loadable layout."""
    folder = tmp_path_factory.mktemp("recorded") / "checkpoint"
    shutil.copytree(goldens / "e2e" / f"{_FAMILY}_tiny", folder)
    save_tokenizer(folder)
    (folder / "preprocessor_config.json").write_text("{}")
    return Scene.recorded(goldens, _FAMILY, folder, Qwen2VL)


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
def test_every_recorded_case(
    kernel: str,
    scene: Scene,
    goldens: Path,
    watch: Any,
    replay: Any,
    close: Close,
    subtests: pytest.Subtests,
    report: Callable[[str], None],
) -> None:
    """Kept sets, positions, caches, logits and tokens of every run are those recorded."""
    checked: Counter[str] = Counter()
    for case in scene.manifest:
        with subtests.test(f"{case['case']} {case['yarn']}"):
            if "error" in case:
                replaying.works_where_published_fails(case, scene, kernel)
                checked["published fails"] += 1
                continue
            replaying.replayed(case, scene, kernel, goldens, watch, replay, close)
            checked[case["yarn"]] += 1
    report(f"end to end, {kernel}: {checked.total()} of {len(scene.manifest)} {dict(checked)}")
    assert checked.total() > 0
    assert checked == Counter(
        "published fails" if "error" in case else case["yarn"] for case in scene.manifest
    )


@pytest.mark.parametrize("steps_at_once", [1, 2, 5, None])
def test_vision(scene: Scene, steps_at_once: int | None, close: Close) -> None:
    """Visual tokens are those recorded, encoded at once or a few steps at a time."""
    tokens = scene.tokens(scene.load(None), steps_at_once or scene.steps)
    close(tokens.features.flatten(0, 1), scene.middle["vision_output"])


def test_positions(scene: Scene) -> None:
    """The model's own positions of text, video and text again are those recorded."""
    adapter = scene.load(None)
    tokens = scene.tokens(adapter, scene.steps)
    first, stop = scene.span
    video = adapter.video_positions(first, NoSelection().select(tokens), tokens.grid)
    before = torch.arange(first).expand(3, -1)
    behind = int(video.max()) + 1 + torch.arange(len(scene.token_ids) - stop).expand(3, -1)
    recorded = scene.middle["position_ids_448"][:, 0]
    assert torch.equal(torch.cat((before, video, behind), dim=1), recorded)
    deltas = recorded.max() + 1 - len(scene.token_ids)
    assert deltas == scene.middle["rope_deltas_448"].item()


@pytest.mark.parametrize("name", ["none", "yarn4"])
def test_uncompressed_is_the_stock_model(scene: Scene, name: str, close: Close) -> None:
    """Without compression our logits and tokens are the stock model's, also with YaRN."""
    case = {"yarn": name, "longvideo_kwargs": {}}
    tokens = scene.middle[f"stock448_generated_ids.{name}"].tolist()
    outcome = replaying.run(case, scene, "sdpa", len(tokens), NoCompression())
    close(outcome.prompt_logits, scene.middle[f"stock448_logits.{name}"])
    assert outcome.generated == tokens
