"""Every recorded Qwen2-VL run: from patches to generated tokens as the published code does."""

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from retake.backends.cpu import CPU
from retake.compressors.none import NoCompression
from retake.compressors.pivotkv import PivotKV
from retake.core.adapter import LoadOptions, Patches
from retake.core.budget import share_of
from retake.core.chunks import chunks_of_tokens
from retake.core.engine import Engine, Prefilled
from retake.core.positions import position_policy
from retake.core.selector import FrameSelector
from retake.core.tokens import Selection, VisualTokens
from retake.models.qwen2_vl import Qwen2VL
from retake.selectors.dpselect import DPSelect
from retake.selectors.ma_lmm import MaLmm
from retake.selectors.none import NoSelection

_FAMILY = "qwen2vl"


@attrs.frozen(eq=False)
class Scene:
    """The prompt and the video that all cases were recorded with."""

    manifest: list[dict[str, Any]]
    inputs: dict[str, Tensor]
    middle: dict[str, Tensor]
    video_token: int
    load: Callable[[float | None], Qwen2VL]

    @property
    def token_ids(self) -> Tensor:
        return self.inputs["input_ids"][0]

    @property
    def span(self) -> tuple[int, int]:
        """First and last-plus-one video token of the prompt."""
        places = (self.token_ids == self.video_token).nonzero()[:, 0]
        return int(places[0]), int(places[-1]) + 1

    @property
    def grid(self) -> tuple[int, int, int]:
        steps, rows, columns = self.inputs["video_grid_thw"][0].tolist()
        return steps, rows, columns

    def patches(self) -> Tensor:
        return self.inputs["pixel_values_videos_int8"].float() / 64

    def tokens(self, adapter: Qwen2VL, steps_at_once: int) -> VisualTokens:
        """The visual tokens, encoded so many steps at a time."""
        steps, rows, columns = self.grid
        parts = [
            adapter.encode(Patches(part, (len(part) // (rows * columns), rows, columns)))
            for part in self.patches().split(steps_at_once * rows * columns)
        ]
        merge = adapter.rules.merge
        grid = (rows // merge, columns // merge)
        return VisualTokens(torch.cat(parts).detach(), torch.arange(steps).double(), grid)


@pytest.fixture(scope="module")
def scene(
    goldens: Path, tmp_path_factory: pytest.TempPathFactory, save_tokenizer: Callable[[Path], None]
) -> Scene:
    """The recorded inputs, and the recorded checkpoint in a loadable layout."""
    source = goldens / "e2e"
    folder = tmp_path_factory.mktemp("recorded") / "checkpoint"
    shutil.copytree(source / f"{_FAMILY}_tiny", folder)
    save_tokenizer(folder)
    loaded: dict[float | None, Qwen2VL] = {}

    def load(factor: float | None) -> Qwen2VL:
        if factor not in loaded:
            loaded[factor] = Qwen2VL.load(folder, LoadOptions(yarn_factor=factor))
        return loaded[factor]

    cases = json.loads((source / "manifest.json").read_text())["cases"]
    return Scene(
        manifest=[case for case in cases if case["family"] == _FAMILY],
        inputs=load_file(source / f"{_FAMILY}_inputs.safetensors"),
        middle=load_file(source / f"{_FAMILY}_intermediate.safetensors"),
        video_token=json.loads((folder / "config.json").read_text())["video_token_id"],
        load=load,
    )


def _yarn_factor(case: dict[str, Any]) -> float | None:
    """The stretch that reached the attention: none where the published code left it out."""
    name = case["yarn"]
    stretched = re.fullmatch(r"yarn(\d+)fixed", name)
    assert stretched or name == "none" or name.endswith("_asrun"), name
    return float(stretched[1]) if stretched else None


def _selector(options: dict[str, Any] | None) -> FrameSelector:
    if options is None:
        return NoSelection()
    method, per_patch = options["compression_method"], not options["patch_sync"]
    ratio = options["compression_ratio"]
    if method == "Keyframe":
        pivots = options["return_keyframe_mask"]
        return DPSelect(keep_ratio=ratio, per_patch=per_patch, pivots=pivots)
    return MaLmm(keep_ratio=ratio, per_patch=per_patch, hard=method.endswith("hard"))


@attrs.frozen(eq=False)
class Outcome:
    """What a run gave."""

    prefilled: Prefilled
    selection: Selection
    prompt_logits: Tensor
    decode_logits: Tensor
    generated: list[int]
    keys: Tensor
    values: Tensor
    cached_positions: Tensor
    final_positions: Tensor


def _video_recorded(expected: dict[str, Tensor], scene: Scene) -> tuple[Tensor, ...] | None:
    """Each layer's recorded kept video tokens, numbered from the video's first."""
    if "kept_tokens" not in expected:
        return None
    first, stop = scene.span
    return tuple(
        kept[(kept >= first) & (kept < stop)].long() - first for kept in expected["kept_tokens"]
    )


def _state(cache: Any, what: str) -> Tensor:
    """Keys, values or positions of all layers, copied."""
    if what == "positions":
        return torch.stack([layer.cached_positions().clone() for layer in cache.layers])
    return torch.stack([getattr(layer, what)[0, :, : layer.length] for layer in cache.layers])


def _run(
    case: dict[str, Any],
    scene: Scene,
    kernel: str,
    steps: int,
    compressor: Any,
) -> Outcome:
    adapter = scene.load(_yarn_factor(case))
    options = case["longvideo_kwargs"]
    evicts = options.get("kvcache_compression_kwargs")
    frames_at_once = options.get("frame_chunk_size", scene.grid[0] * adapter.frames_per_step)
    tokens = scene.tokens(adapter, max(1, frames_at_once // adapter.frames_per_step))
    selection = _selector(options.get("visual_compression_kwargs")).select(tokens)
    first, stop = scene.span
    prefix, suffix = scene.token_ids[:first], scene.token_ids[stop:]
    chunk = len(selection)
    if "chunked_prefill_frames" in options:
        frames = min(options["chunked_prefill_frames"], scene.grid[0])
        folded = adapter.rules.merge**2 * adapter.rules.temporal
        chunk = frames * scene.grid[1] * scene.grid[2] // folded
    share = None
    if evicts:
        dynamic = evicts["dynamic_compression_ratio"]
        share = share_of(
            video=len(selection),
            text=len(prefix) + len(suffix),
            budget=evicts["max_input_length"] if dynamic else None,
            keep_ratio=None if dynamic else evicts["compression_ratio"],
            published=True,
        )
    policy = position_policy(
        "reforge" if evicts and evicts["pos_embed_reforge"] else "original",
        published=True,
        dropped=tokens.steps - selection.row_count,
    )
    engine = Engine(adapter, compressor, policy, CPU(kernel=kernel))
    rows: list[Tensor] = []
    handle = adapter.language_model().register_forward_hook(
        lambda *call: rows.append(call[-1].last_hidden_state[0].clone())
    )
    try:
        prefilled = engine.prefill(
            prefix,
            selection,
            adapter.video_positions(first, selection, tokens.grid),
            chunks=chunks_of_tokens(len(selection), chunk),
            share=share,
        )
    finally:
        handle.remove()
    return _ask(engine, prefilled, selection, torch.cat(rows), suffix, steps)


def _ask(
    engine: Engine,
    prefilled: Prefilled,
    selection: Selection,
    before: Tensor,
    suffix: Tensor,
    steps: int,
) -> Outcome:
    """Ask in the recorded way: the question, then greedy tokens through the stock model."""
    model = engine.adapter.model
    with engine.asking(prefilled, len(suffix) + steps) as cache:
        logits = model(input_ids=suffix[None], past_key_values=cache).logits[0]
        prompt = torch.cat((model.lm_head(before), logits))
        state = {what: _state(cache, what) for what in ("keys", "values", "positions")}
        decoded, generated = [logits[-1]], [int(logits[-1].argmax())]
        while len(generated) < steps:
            newest = torch.tensor([[generated[-1]]])
            decoded.append(model(input_ids=newest, past_key_values=cache).logits[0, -1])
            generated.append(int(decoded[-1].argmax()))
        final = _state(cache, "positions")
    return Outcome(
        prefilled,
        selection,
        prompt,
        torch.stack(decoded),
        generated,
        state["keys"],
        state["values"],
        state["positions"],
        final,
    )


def _compare(
    case: dict[str, Any],
    scene: Scene,
    expected: dict[str, Tensor],
    outcome: Outcome,
    log: Any,
    close: Callable[[Tensor, Tensor], None],
) -> None:
    frequencies = _frequencies(scene, case)
    torch.testing.assert_close(frequencies, expected["inv_freq"], atol=1e-7, rtol=1e-6)
    close(outcome.keys, expected["key_cache"])
    close(outcome.values, expected["value_cache"])
    want = expected["prefill_logits"]
    close(outcome.prompt_logits[-len(want) :], want)
    close(outcome.decode_logits, expected["decode_logits"])
    assert outcome.generated == expected["generated_ids"].tolist()
    lengths = [outcome.keys.shape[2]] * len(outcome.keys)
    assert lengths == case["cache_len_prefill"]
    assert [outcome.final_positions.shape[2]] * len(lengths) == case["cache_len_final"]
    if (kept := _video_recorded(expected, scene)) is not None:
        assert [mine.tolist() for mine in outcome.prefilled.kept] == [k.tolist() for k in kept]
        evicted = [len(outcome.selection) - len(mine) for mine in outcome.prefilled.kept]
        assert evicted == expected["num_evicted"].tolist()
        scores = expected["raw_score"]
        torch.testing.assert_close(log.raw_scores(), scores, atol=1e-4, rtol=0)
    if "keypatches_mask" in expected and outcome.selection.pivots.any():
        assert torch.equal(outcome.selection.pivots, expected["keypatches_mask"])
    text_and_video = outcome.prompt_logits.shape[0]
    recorded = {
        "positions_used": log.positions_used()[:, :, :text_and_video],
        "position_cache_prefill": outcome.cached_positions,
        "position_cache_final": outcome.final_positions,
    }
    for name, mine in recorded.items():
        if name in expected:
            assert torch.equal(mine, expected[name].long()), name


def _works_where_published_fails(case: dict[str, Any], scene: Scene, kernel: str) -> None:
    """A selector and chunked prefill together: the cache holds what was to be kept."""
    outcome = _run(case, scene, kernel, 4, PivotKV())
    first, stop = scene.span
    text = len(scene.token_ids) - (stop - first)
    ratio = case["longvideo_kwargs"]["visual_compression_kwargs"]["compression_ratio"]
    assert len(outcome.selection) == round(ratio * (stop - first))
    for kept in outcome.prefilled.kept:
        assert (torch.tensor(kept).diff() > 0).all()
        assert text + len(kept) == outcome.keys.shape[2]
        if "kvcache_compression_kwargs" not in case["longvideo_kwargs"]:
            assert len(kept) == len(outcome.selection)
    assert outcome.decode_logits.isfinite().all()
    assert len(outcome.generated) == 4


def _frequencies(scene: Scene, case: dict[str, Any]) -> Tensor:
    """The rotary frequencies that the case's model turns by."""
    frequencies: Tensor = scene.load(_yarn_factor(case)).language_model().rotary_emb.inv_freq
    return frequencies


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
def test_every_recorded_case(
    kernel: str,
    scene: Scene,
    goldens: Path,
    watch: Any,
    replay: Any,
    close: Callable[[Tensor, Tensor], None],
    subtests: pytest.Subtests,
    report: Callable[[str], None],
) -> None:
    """Kept sets, positions, caches, logits and tokens of every run are those recorded."""
    checked: Counter[str] = Counter()
    for case in scene.manifest:
        with subtests.test(f"{case['case']} {case['yarn']}"):
            adapter = scene.load(_yarn_factor(case))
            log = watch(len(adapter.attention_layers()))
            if "error" in case:
                _works_where_published_fails(case, scene, kernel)
                checked["published fails"] += 1
                continue
            expected = load_file(goldens / "e2e" / case["file"])
            evicts = "kvcache_compression_kwargs" in case["longvideo_kwargs"]
            compressor = replay(_video_recorded(expected, scene)) if evicts else NoCompression()
            steps = len(expected["generated_ids"])
            outcome = _run(case, scene, kernel, steps, compressor)
            _compare(case, scene, expected, outcome, log, close)
            checked[case["yarn"]] += 1
    report(f"end to end, {kernel}: {checked.total()} of {len(scene.manifest)} {dict(checked)}")
    assert checked.total() > 0
    assert checked == Counter(
        "published fails" if "error" in case else case["yarn"] for case in scene.manifest
    )


@pytest.mark.parametrize("steps_at_once", [1, 2, 5, None])
def test_vision(scene: Scene, steps_at_once: int | None, close: Any) -> None:
    """Visual tokens are those recorded, encoded at once or a few steps at a time."""
    tokens = scene.tokens(scene.load(None), steps_at_once or scene.grid[0])
    close(tokens.features.flatten(0, 1), scene.middle["vision_output"])


def test_positions(scene: Scene) -> None:
    """The model's own positions of text, video and text again are those recorded."""
    adapter = scene.load(None)
    tokens = scene.tokens(adapter, scene.grid[0])
    first, stop = scene.span
    video = adapter.video_positions(first, NoSelection().select(tokens), tokens.grid)
    before = torch.arange(first).expand(3, -1)
    behind = int(video.max()) + 1 + torch.arange(len(scene.token_ids) - stop).expand(3, -1)
    recorded = scene.middle["position_ids_448"][:, 0]
    assert torch.equal(torch.cat((before, video, behind), dim=1), recorded)
    deltas = recorded.max() + 1 - len(scene.token_ids)
    assert deltas == scene.middle["rope_deltas_448"].item()


@pytest.mark.parametrize("name", ["none", "yarn4"])
def test_uncompressed_is_the_stock_model(scene: Scene, name: str, close: Any) -> None:
    """Without compression our logits and tokens are the stock model's, also with YaRN."""
    case = {"yarn": "none" if name == "none" else f"{name}fixed", "longvideo_kwargs": {}}
    tokens = scene.middle[f"stock448_generated_ids.{name}"].tolist()
    outcome = _run(case, scene, "sdpa", len(tokens), NoCompression())
    close(outcome.prompt_logits, scene.middle[f"stock448_logits.{name}"])
    assert outcome.generated == tokens
