"""The recorded LLaVA-OneVision runs that are kept: from frames to tokens as published.

Left out are those whose key patches the published code misplaces (docs/fidelity.md): it marks
patches before pooling, drops the newline, and prefills the first word of the question as video.
"""

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
from retake.models.llava_onevision import LlavaOnevision
from tests.parity import replaying
from tests.parity.replaying import Close
from tests.tiny import llava_onevision as tiny
from tests.tiny.saving import save_tokenizer

_FAMILY = "llava_ov"
_MISPLACED = ("c_", "d_", "f_")


class Scene(replaying.Scene):
    """LLaVA's: the last placeholder stands for the newline that closes the video."""

    @property
    def span(self) -> tuple[int, int]:
        first, stop = self.placeholders
        return first, stop - 1

    @property
    def steps(self) -> int:
        return len(self.pixels())

    def pixels(self) -> Tensor:
        return self.inputs["pixel_values_videos_int8"][0].float() / 64

    def tokens(self, adapter: LlavaOnevision, steps_at_once: int) -> VisualTokens:
        with torch.no_grad():
            parts = [
                adapter.encode(Patches(part, (len(part), 5, 5)))
                for part in self.pixels().split(steps_at_once)
            ]
        return VisualTokens(torch.cat(parts), torch.arange(self.steps).double(), (3, 3))

    def tokens_of_frames(self, adapter: LlavaOnevision, frames: int) -> int:
        rows, columns = adapter.token_grid((40, 40))
        return frames * rows * columns


@pytest.fixture(scope="module")
def scene(goldens: Path, tmp_path_factory: pytest.TempPathFactory) -> replaying.Scene:
    """The recorded inputs, and the recorded checkpoint in a loadable layout."""
    folder = tmp_path_factory.mktemp("recorded") / "checkpoint"
    shutil.copytree(goldens / "e2e" / f"{_FAMILY}_tiny", folder)
    save_tokenizer(folder, tiny.SPECIAL, tiny.TEMPLATE)
    (folder / "preprocessor_config.json").write_text('{"size": {"height": 40, "width": 40}}')
    return Scene.recorded(goldens, _FAMILY, folder, LlavaOnevision)


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
def test_every_recorded_case_that_is_kept(
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
    expected: Counter[str] = Counter()
    for case in scene.manifest:
        kind = "published fails" if "error" in case else case["yarn"]
        misplaced = case["case"].startswith(_MISPLACED) and "error" not in case
        expected["misplaced there" if misplaced else kind] += 1
        if misplaced:
            checked["misplaced there"] += 1
            continue
        with subtests.test(f"{case['case']} {case['yarn']}"):
            if "error" in case:
                replaying.works_where_published_fails(case, scene, kernel)
            else:
                replaying.replayed(case, scene, kernel, goldens, watch, replay, close)
            checked[kind] += 1
    assert checked == expected
    left_out = checked.pop("misplaced there")
    report(
        f"LLaVA, {kernel}: {checked.total()} of {len(scene.manifest)} {dict(checked)}, "
        f"{left_out} misplaced there"
    )
    assert checked["none"] == checked["yarn4"] == 5


@pytest.mark.parametrize("frames_at_once", [1, 7, None])
def test_vision(scene: Scene, frames_at_once: int | None, close: Close) -> None:
    """The tower's and the projector's output are those recorded, all at once or in slices."""
    adapter = scene.load(None)
    read: dict[str, list[Tensor]] = {"in": [], "out": []}

    def note(module: Any, given: Any, output: Tensor) -> None:
        read["in"].append(given[0])
        read["out"].append(output)

    handle = adapter.model.model.multi_modal_projector.register_forward_hook(note)
    try:
        scene.tokens(adapter, frames_at_once or scene.steps)
    finally:
        handle.remove()
    close(torch.cat(read["in"]), scene.middle["vision_output"])
    close(torch.cat(read["out"]), scene.middle["projector_output"])


@pytest.mark.parametrize("name", ["none", "yarn4"])
def test_uncompressed_is_the_stock_model(scene: Scene, name: str, close: Close) -> None:
    """Without compression our logits and tokens are the stock model's, also with YaRN."""
    case = {"yarn": name, "longvideo_kwargs": {}}
    tokens = scene.middle[f"stock448_generated_ids.{name}"].tolist()
    outcome = replaying.run(case, scene, "sdpa", len(tokens), NoCompression())
    close(outcome.prompt_logits, scene.middle[f"stock448_logits.{name}"])
    assert outcome.generated == tokens
