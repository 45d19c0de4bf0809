"""Load, watch and ask, through a real mp4 and a tiny random checkpoint in the real layout."""

import copy
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor
from transformers import AutoTokenizer, Qwen2VLForConditionalGeneration, TextStreamer

import retake
from tests.parts import COMPRESSORS, SELECTORS

QUESTIONS = ("What is shown?", "Which colour does it have, then?", "When?")


def _pairs(memory: retake.VideoMemory) -> list[Tensor]:
    """Copies of what a memory holds."""
    return [
        held.clone()
        for layer in memory.cache.layers
        for held in (
            layer.keys[:, :, : layer.length],
            layer.values[:, :, : layer.length],
            layer.cached_positions(),
        )
    ]


# Every selector with the published compressor, every compressor with a plain selector.
PAIRS = [
    *((selector, "pivotkv") for selector in SELECTORS),
    *(("none", compressor) for compressor in COMPRESSORS),
    ("dpselect", "h2o"),
    ("dpselect", "adakv(pyramidkv(h2o))"),
    ("aks(colours)", "pyramidkv(adaretake)"),
]


@pytest.mark.parametrize(("selector", "compressor"), PAIRS)
@pytest.mark.parametrize("positions", ["reforge", "original"])
def test_every_combination_runs(
    load: Any, clip: Path, selector: str, compressor: str, positions: str
) -> None:
    """Any selector goes with any compressor and either position policy, and repeats itself."""
    evicts = compressor != "none"
    answers = []
    for _ in range(2):
        model = load(
            selector=selector,
            compressor=compressor,
            keep_ratio=0.25 if evicts else None,
            prefill={"positions": positions},
        )
        memory = model.watch(clip, questions=QUESTIONS[:1])
        answers.append(model.ask(QUESTIONS[0]))
    done = memory.compression
    layers = len(done.tokens_kept)
    share = done.tokens_selected // 4 if evicts else done.tokens_selected
    assert sum(done.tokens_kept) == share * layers
    assert memory.cache.mean_length() == share + done.text_tokens
    assert answers[0].token_ids == answers[1].token_ids


@pytest.mark.parametrize("budget", [100, 150, 330])
def test_cache_stays_within_the_budget(load: Any, clip: Path, budget: int) -> None:
    """Question included, where it is known or fits what is set aside for one."""
    model = load(budget=budget)
    longest = max(QUESTIONS, key=len)
    memory = model.watch(clip, questions=QUESTIONS)
    answer = model.ask(longest, memory)
    assert max(answer.cache_tokens) == budget
    assert answer.over_budget == 0
    assert max(model.ask(QUESTIONS[0], memory).cache_tokens) < budget


def test_too_long_a_question_is_reported(load: Any, clip: Path) -> None:
    """A question longer than what was set aside says by how much."""
    model = load(budget=150, prefill={"reserve": 40})
    memory = model.watch(clip)
    answer = model.ask("Well? " * 40, memory)
    assert answer.over_budget == max(answer.cache_tokens) - 150 > 0


def test_impossible_budget(load: Any, clip: Path) -> None:
    """A budget that the prompt alone uses up names the least that would do."""
    with pytest.raises(retake.UsageError, match=r"used up by the prompt") as caught:
        load(budget=5).watch(clip)
    least = int(re.search(r"at least (\d+)", str(caught.value))[1])  # type: ignore[index]
    assert load(budget=least).watch(clip).compression.tokens_kept == (1, 1)
    with pytest.raises(retake.UsageError, match="evicts nothing"):
        load(compressor="none", budget=100).watch(clip)
    with pytest.raises(retake.UsageError, match="evicts nothing"):
        load(compressor="none", keep_ratio=0.5)


def test_asking_never_changes_the_memory(load: Any, clip: Path) -> None:
    """Any order, beams, sampling, long answers: the same pairs, and the same greedy answers."""
    model = load(keep_ratio=0.3)
    memory = model.watch(clip)
    before = _pairs(memory)
    alone = {question: model.ask(question, memory).token_ids for question in QUESTIONS}
    model.ask(QUESTIONS[1], memory, num_beams=3)
    model.ask(QUESTIONS[1], memory, do_sample=True, extra={"num_return_sequences": 2})
    model.ask(QUESTIONS[1], memory, max_new_tokens=300)
    for question in reversed(QUESTIONS):
        assert model.ask(question, memory).token_ids == alone[question]
    assert all(torch.equal(a, b) for a, b in zip(before, _pairs(memory), strict=True))


def test_one_memory_a_video(load: Any, clip: Path) -> None:
    """Two memories of one model do not mix; without one given, the last is asked."""
    model = load(keep_ratio=0.3)
    first = model.watch(clip)
    answer = model.ask(QUESTIONS[0], first)
    second = load(keep_ratio=0.3, video={"fps": 1.0})
    model.config = second.config
    other = model.watch(clip)
    assert model.ask(QUESTIONS[0]).memory is other
    assert model.ask(QUESTIONS[0], first).token_ids == answer.token_ids


def test_sampling_follows_the_seed(load: Any, clip: Path) -> None:
    """The same seed draws the same answer, and torch's global state is left alone."""
    drawn = {"max_new_tokens": 12, "do_sample": True, "temperature": 1.5}
    state = torch.get_rng_state()
    answers = []
    for seed in (1, 1, 2):
        model = load(keep_ratio=0.3, generate=drawn, seed=seed)
        model.watch(clip)
        answers.append(model.ask(QUESTIONS[0]).token_ids)
    assert answers[0] == answers[1] != answers[2]
    assert torch.equal(state, torch.get_rng_state())


def test_tokens_stream(load: Any, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A streamer receives the answer as it is decoded."""
    model = load(keep_ratio=0.3)
    model.watch(clip)
    streamer = TextStreamer(model.adapter.tokenizer, skip_prompt=True, skip_special_tokens=True)
    answer = model.ask(QUESTIONS[0], streamer=streamer)
    assert capsys.readouterr().out.strip() == answer.text


def test_result_carries_its_configuration(load: Any, clip: Path) -> None:
    """Configuration, versions, frames and what was achieved are all in the memory."""
    model = load(selector="uniform", budget=200, seed=7)
    memory = model.watch(clip)
    assert memory.config["selector"] == {"name": "uniform", "options": {"keep_ratio": 0.5}}
    assert memory.config["compressor"]["options"] == {"pivot_score": "first"}
    assert memory.config["prefill"]["budget"] == 200
    assert memory.config["seed"] == 7
    assert memory.config["model"]["dtype"] == "float32"
    assert memory.config["model"]["backend"] == "cpu"
    assert memory.config["versions"]["torch"] == torch.__version__
    assert memory.frames is not None
    assert len(memory.frames.indices) == len(memory.frames.timestamps) == 80
    assert memory.frames.achieved_fps == pytest.approx(2)
    assert memory.compression.steps == 40
    assert memory.compression.steps_dropped == 20
    assert {cost.name for cost in memory.costs} == {"open", "decode", "encode", "select", "prefill"}


def test_kept_tokens_are_numbers_of_the_selection(load: Any, clip: Path) -> None:
    """Each layer's kept tokens ascend, and pivots among them are counted right."""
    memory = load(keep_ratio=0.5).watch(clip)
    done = memory.compression
    for kept, count in zip(memory.kept, done.tokens_kept, strict=True):
        assert len(kept) == count == len(set(kept.tolist()))
        assert sorted(kept.tolist()) == kept.tolist()
        assert kept[-1] < done.tokens_selected
    # With room for all, no pivot is evicted.
    assert done.pivots < done.tokens_kept[0]
    assert set(done.pivots_kept) == {done.pivots}


def test_attach_leaves_a_model_as_it_was(checkpoint: Path, clip: Path) -> None:
    """A model that is loaded already is used, and is bit-identical afterwards."""
    model = Qwen2VLForConditionalGeneration.from_pretrained(checkpoint)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    ids = torch.tensor([tokenizer("What is it?").input_ids])
    before = copy.deepcopy(model.state_dict())
    config, logits = model.config.to_dict(), model(input_ids=ids).logits
    kept = model.config._attn_implementation, model.config.text_config._attn_implementation
    attached = retake.attach(model, tokenizer, keep_ratio=0.25, video={"long_side": 112})
    attached.watch(clip)
    attached.ask(QUESTIONS[0], max_new_tokens=4)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model.config.to_dict() == config
    now = model.config._attn_implementation, model.config.text_config._attn_implementation
    assert now == kept
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert model.model.rope_deltas is None
    assert torch.equal(model(input_ids=ids).logits, logits)


def test_instances_go_in_where_names_do(load: Any, clip: Path) -> None:
    """A part of the caller's own is used as it is, and named in the result."""

    @attrs.frozen
    class Newest(retake.KVCompressor):
        """Keep what came last."""

        weight: float = 1.0

        def score(self, chunk: retake.KVChunk) -> Tensor:
            return self.weight * chunk.positions[0].float()

    memory = load(selector="none", compressor=Newest(weight=2.0), keep_ratio=0.5).watch(clip)
    named = memory.config["compressor"]
    assert named["name"].endswith("Newest")
    assert named["options"] == {"weight": 2.0}
    last = memory.kept[0][-32:].tolist()
    assert last == list(range(last[0], last[0] + 32))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"selector": "dpselct"}, "Did you mean 'dpselect'"),
        ({"selector": 3}, "is a name or a FrameSelector"),
        ({"compressor": "pivot"}, "Did you mean 'pivotkv'"),
        ({"backend": "gpu"}, "Unknown backend 'gpu'"),
        ({"backend": "cuda"}, "cannot be used here"),
        ({"dtype": "fp16"}, "Did you mean 'float16'"),
        ({"attention": "flash"}, "Unknown attention"),
        ({"adapter": "qwen"}, "Did you mean 'qwen2-vl'"),
        ({"yarn_factor": 0.5}, "yarn_factor must be at least 1"),
        ({"video": {"fps": -1}}, "fps must be above 0"),
        ({"generate": {"max_new_tokens": 0}}, "max_new_tokens must be at least 1"),
        ({"prefill": {"positions": "reforged"}}, "Did you mean 'reforge'"),
    ],
)
def test_wrong_options(
    load: Any, given: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every wrong option is an error for people, before a model is loaded."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(retake.UsageError, match=message):
        load(**given)


def test_asking_before_watching(load: Any) -> None:
    """There is nothing to ask yet; and an empty question is none."""
    model = load()
    with pytest.raises(retake.UsageError, match="No video was watched yet"):
        model.ask("What?")


def test_wrong_generation_settings(load: Any, clip: Path) -> None:
    """Unknown or contradictory settings of transformers are errors of usage."""
    model = load(keep_ratio=0.5)
    model.watch(clip)
    with pytest.raises(retake.UsageError, match="no generation setting 'beams'"):
        model.ask(QUESTIONS[0], extra={"beams": 3})
    with pytest.raises(retake.UsageError, match="Did you mean 'max_new_tokens'"):
        model.ask(QUESTIONS[0], max_tokens=3)
    with pytest.raises(retake.UsageError, match="The question is empty"):
        model.ask("  ")


def test_bfloat16(load: Any, clip: Path) -> None:
    """Half precision is used when asked for, in weights and cache."""
    model = load(keep_ratio=0.25, dtype="bfloat16")
    memory = model.watch(clip)
    assert memory.cache.layers[0].keys.dtype == torch.bfloat16
    assert memory.config["model"]["dtype"] == "bfloat16"
    assert model.ask(QUESTIONS[0]).token_ids


def test_yarn_reaches_the_attention(load: Any, clip: Path) -> None:
    """Stretching the context changes the angles, and the result says so."""
    plain, stretched = load(keep_ratio=0.5), load(keep_ratio=0.5, yarn_factor=4)
    positions = torch.arange(9).expand(3, -1)
    assert not torch.equal(
        plain.adapter.rotary(positions)[0], stretched.adapter.rotary(positions)[0]
    )
    assert stretched.watch(clip).config["model"]["yarn_factor"] == 4.0


def test_memory_of_another_model_is_refused(load: Any, clip: Path, tmp_path: Path) -> None:
    """A memory's pairs mean nothing to a model that did not make them."""
    memory = load(keep_ratio=0.5).watch(clip)
    with pytest.raises(retake.UsageError, match="made by another model"):
        load(dtype="bfloat16").ask(QUESTIONS[0], memory)


def test_memory_is_asked_as_it_was_made(load: Any, clip: Path) -> None:
    """The positions of a memory are its own, whatever the asking model would use."""
    reforged = load(keep_ratio=0.25)
    memory = reforged.watch(clip)
    expected = reforged.ask(QUESTIONS[0], memory).token_ids
    other = load(keep_ratio=0.25, prefill={"positions": "original"})
    assert other.ask(QUESTIONS[0], memory).token_ids == expected


def test_attached_model_uses_its_checkpoint_s_frame_sizes(checkpoint: Path, clip: Path) -> None:
    """Attaching and loading see frames of the same size."""
    model = Qwen2VLForConditionalGeneration.from_pretrained(checkpoint)
    attached = retake.attach(model, AutoTokenizer.from_pretrained(checkpoint), keep_ratio=0.5)
    loaded = retake.load(checkpoint, keep_ratio=0.5)
    sizes = [made.adapter.frame_size(480, 640, 448) for made in (attached, loaded)]
    assert sizes[0] == sizes[1]


def test_two_threads_ask_in_turn(checkpoint: Path, clip: Path) -> None:
    """Threads that share a model wait for each other, and leave it as it was."""
    model = Qwen2VLForConditionalGeneration.from_pretrained(checkpoint)
    before = model.config.text_config._attn_implementation
    attached = retake.attach(model, AutoTokenizer.from_pretrained(checkpoint), keep_ratio=0.25)
    memory = attached.watch(clip)
    alone = attached.ask(QUESTIONS[0], memory, max_new_tokens=8).token_ids
    with ThreadPoolExecutor(4) as pool:
        asked = [
            pool.submit(attached.ask, QUESTIONS[0], memory, max_new_tokens=8) for _ in range(8)
        ]
    assert {each.result().token_ids for each in asked} == {alone}
    assert model.config.text_config._attn_implementation == before
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_answer_records_how_it_was_decoded(load: Any, clip: Path) -> None:
    """The checkpoint's own settings and the seed are part of the answer."""
    model = load(keep_ratio=0.5, seed=9)
    model.adapter.model.generation_config.repetition_penalty = 3.0
    model.watch(clip)
    answer = model.ask(QUESTIONS[0])
    assert answer.generation["repetition_penalty"] == 3.0
    assert answer.seed == 9
