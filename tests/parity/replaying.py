"""Running a recorded case through the engine, and comparing all that was recorded of it."""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import attrs
import torch
from safetensors.torch import load_file
from torch import Tensor

from retake.backends.cpu import CPU
from retake.compressors.none import NoCompression
from retake.compressors.pivotkv import PivotKV
from retake.core.adapter import LoadOptions, ModelAdapter
from retake.core.arena import CACHE_ARGUMENT
from retake.core.budget import share_of
from retake.core.chunks import chunks_of_tokens
from retake.core.engine import Engine, Prefilled
from retake.core.positions import position_policy
from retake.core.selector import FrameSelector
from retake.core.tokens import Selection, VisualTokens
from retake.selectors.dpselect import DPSelect
from retake.selectors.ma_lmm import MaLmm
from retake.selectors.none import NoSelection

Close = Callable[[Tensor, Tensor], None]


@attrs.frozen(eq=False)
class Scene(ABC):
    """The prompt and the video that a family's cases were recorded with.

    Attributes:
        manifest: what was recorded, case by case.
        inputs, middle: the recorded inputs, and what came out between them and the answer.
        video_token: what stands for a token of video in the prompt.
        load: the recorded checkpoint, stretched by a factor or not.
    """

    manifest: list[dict[str, Any]]
    inputs: dict[str, Tensor]
    middle: dict[str, Tensor]
    video_token: int
    load: Callable[[float | None], Any]

    @classmethod
    def recorded(
        cls, goldens: Path, family: str, folder: Path, adapter: type[ModelAdapter]
    ) -> "Scene":
        """The scene of a family, its checkpoint being in a loadable layout in `folder`."""
        source = goldens / "e2e"

        @cache
        def load(factor: float | None) -> Any:
            return adapter.load(folder, LoadOptions(yarn_factor=factor))

        config = json.loads((folder / "config.json").read_text())
        cases = json.loads((source / "manifest.json").read_text())["cases"]
        return cls(
            manifest=[case for case in cases if case["family"] == family],
            inputs=load_file(source / f"{family}_inputs.safetensors"),
            middle=load_file(source / f"{family}_intermediate.safetensors"),
            video_token=config.get("video_token_id", config.get("video_token_index")),
            load=load,
        )

    @property
    def token_ids(self) -> Tensor:
        """The whole prompt `[Q]`, a placeholder for each token of video."""
        return self.inputs["input_ids"][0]

    @property
    def placeholders(self) -> tuple[int, int]:
        """First and last-plus-one of them."""
        places = (self.token_ids == self.video_token).nonzero()[:, 0]
        return int(places[0]), int(places[-1]) + 1

    @property
    @abstractmethod
    def span(self) -> tuple[int, int]:
        """First and last-plus-one video token of the prompt, without what closes the video."""

    @property
    @abstractmethod
    def steps(self) -> int:
        """Steps of the video."""

    @abstractmethod
    def tokens(self, adapter: Any, steps_at_once: int) -> VisualTokens:
        """The visual tokens, encoded so many steps at a time."""

    @abstractmethod
    def tokens_of_frames(self, adapter: Any, frames: int) -> int:
        """Tokens that so many frames have."""


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


def yarn_factor(case: dict[str, Any]) -> float | None:
    """The stretch that reached the attention: none where the published code left it out."""
    name = case["yarn"]
    stretched = re.fullmatch(r"yarn(\d+)(fixed)?", name)
    assert stretched or name == "none" or name.endswith("_asrun"), name
    return float(stretched[1]) if stretched else None


def selector_of(options: dict[str, Any] | None) -> FrameSelector:
    """The selector that a case names."""
    if options is None:
        return NoSelection()
    method, per_patch = options["compression_method"], not options["patch_sync"]
    ratio = options["compression_ratio"]
    if method == "Keyframe":
        pivots = options["return_keyframe_mask"]
        return DPSelect(keep_ratio=ratio, per_patch=per_patch, pivots=pivots)
    return MaLmm(keep_ratio=ratio, per_patch=per_patch, hard=method.endswith("hard"))


def video_recorded(expected: dict[str, Tensor], scene: Scene) -> tuple[Tensor, ...] | None:
    """Each layer's recorded kept video tokens, numbered from the video's first."""
    if "kept_tokens" not in expected:
        return None
    first, stop = scene.span
    return tuple(
        kept[(kept >= first) & (kept < stop)].long() - first for kept in expected["kept_tokens"]
    )


def run(case: dict[str, Any], scene: Scene, kernel: Any, steps: int, compressor: Any) -> Outcome:
    """Prefill as the case says, ask, and decode greedily."""
    adapter: ModelAdapter = scene.load(yarn_factor(case))
    options = case["longvideo_kwargs"]
    evicts = options.get("kvcache_compression_kwargs")
    frames_at_once = options.get("frame_chunk_size", scene.steps * adapter.frames_per_step)
    tokens = scene.tokens(adapter, max(1, frames_at_once // adapter.frames_per_step))
    selection = selector_of(options.get("visual_compression_kwargs")).select(tokens)
    first, stop = scene.span
    closing = len(adapter.after_video())
    prefix, suffix = scene.token_ids[:first], scene.token_ids[stop + closing :]
    chunk = len(selection)
    if "chunked_prefill_frames" in options:
        frames = min(options["chunked_prefill_frames"], scene.steps)
        chunk = scene.tokens_of_frames(adapter, frames)
    share = None
    if evicts:
        dynamic = evicts["dynamic_compression_ratio"]
        share = share_of(
            video=len(selection),
            text=len(prefix) + closing + len(suffix),
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
        logits = model(input_ids=suffix[None], **{CACHE_ARGUMENT: cache}).logits[0]
        prompt = torch.cat((model.lm_head(before), logits))
        state = {what: _state(cache, what) for what in ("keys", "values", "positions")}
        decoded, generated = [logits[-1]], [int(logits[-1].argmax())]
        while len(generated) < steps:
            newest = torch.tensor([[generated[-1]]])
            decoded.append(model(input_ids=newest, **{CACHE_ARGUMENT: cache}).logits[0, -1])
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


def _state(cache: Any, what: str) -> Tensor:
    """Keys, values or positions of all layers, copied."""
    if what == "positions":
        return torch.stack([layer.cached_positions().clone() for layer in cache.layers])
    return torch.stack([getattr(layer, what)[0, :, : layer.length] for layer in cache.layers])


def compare(
    case: dict[str, Any],
    scene: Scene,
    expected: dict[str, Tensor],
    outcome: Outcome,
    log: Any,
    close: Close,
) -> None:
    """Everything recorded of a case against what a run gave."""
    adapter = scene.load(yarn_factor(case))
    frequencies = adapter.language_model().rotary_emb.inv_freq
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
    if (kept := video_recorded(expected, scene)) is not None:
        assert [mine.tolist() for mine in outcome.prefilled.kept] == [k.tolist() for k in kept]
        evicted = [len(outcome.selection) - len(mine) for mine in outcome.prefilled.kept]
        assert evicted == expected["num_evicted"].tolist()
        # What closes a video was a chunk of its own there, with nothing to be scored against.
        scores = expected["raw_score"][:, : len(outcome.selection)]
        torch.testing.assert_close(log.raw_scores(), scores, atol=1e-4, rtol=0)
    if "keypatches_mask" in expected and outcome.selection.pivots.any():
        assert torch.equal(outcome.selection.pivots, expected["keypatches_mask"])
    _compare_positions(expected, outcome, log)


def _compare_positions(expected: dict[str, Tensor], outcome: Outcome, log: Any) -> None:
    """Positions, recorded `[layers, A, tokens]`, with 1-D RoPE without their axis."""
    text_and_video = outcome.prompt_logits.shape[0]
    recorded = {
        "positions_used": log.positions_used()[:, :, :text_and_video],
        "position_cache_prefill": outcome.cached_positions,
        "position_cache_final": outcome.final_positions,
    }
    for name, mine in recorded.items():
        if name in expected:
            assert torch.equal(mine, expected[name].long().reshape(mine.shape)), name


def works_where_published_fails(case: dict[str, Any], scene: Scene, kernel: str) -> None:
    """The cache holds what was to be kept, and an answer comes."""
    outcome = run(case, scene, kernel, 4, PivotKV())
    first, stop = scene.span
    options = case["longvideo_kwargs"]
    text = len(scene.token_ids) - (stop - first)
    ratio = (options.get("visual_compression_kwargs") or {}).get("compression_ratio", 1)
    assert len(outcome.selection) == round(ratio * (stop - first))
    for kept in outcome.prefilled.kept:
        assert (torch.tensor(kept).diff() > 0).all()
        assert text + len(kept) == outcome.keys.shape[2]
        if "kvcache_compression_kwargs" not in options:
            assert len(kept) == len(outcome.selection)
    assert outcome.decode_logits.isfinite().all()
    assert len(outcome.generated) == 4


def replayed(
    case: dict[str, Any],
    scene: Scene,
    kernel: str,
    goldens: Path,
    watch: Any,
    replay: Any,
    close: Close,
) -> None:
    """Run a case that was recorded, with its recorded choices where scores tie, and compare."""
    log = watch(len(scene.load(yarn_factor(case)).attention_layers()))
    expected = load_file(goldens / "e2e" / case["file"])
    evicts = "kvcache_compression_kwargs" in case["longvideo_kwargs"]
    compressor = replay(video_recorded(expected, scene)) if evicts else NoCompression()
    outcome = run(case, scene, kernel, len(expected["generated_ids"]), compressor)
    compare(case, scene, expected, outcome, log, close)
