"""The stock `generate` decodes from a prefilled cache, in every way of decoding."""

from typing import Any

import attrs
import pytest
import torch
from transformers import TextStreamer
from transformers.generation.streamers import BaseStreamer

from retake.compressors.pivotkv import PivotKV
from retake.core.arena import CACHE_ARGUMENT

_NEW = 8


@pytest.fixture(params=["original", "reforge"])
def engine(stage: Any, request: pytest.FixtureRequest) -> Any:
    """An engine that compresses."""
    return stage.engine(PivotKV(), request.param)


def _prefilled(stage: Any, engine: Any, spare: int = 200) -> Any:
    return stage.prefill(engine, rows=2, share=stage.share(0.5), spare=spare)


def _generate(stage: Any, engine: Any, prefilled: Any, **options: Any) -> Any:
    with engine.asking(prefilled, len(stage.suffix) + _NEW) as cache:
        ids = stage.suffix[None]
        seen = torch.ones(1, cache.get_seq_length() + ids.shape[1], dtype=torch.long)
        settings = {"max_new_tokens": _NEW, "min_new_tokens": _NEW, "do_sample": False}
        made = stage.adapter.model.generate(
            input_ids=ids, attention_mask=seen, **{CACHE_ARGUMENT: cache}, **{**settings, **options}
        )
    return made[:, len(stage.suffix) :] if isinstance(made, torch.Tensor) else made


def _greedy_by_hand(stage: Any, engine: Any, prefilled: Any, forbidden: int) -> list[int]:
    tokens: list[int] = []
    with engine.asking(prefilled, len(stage.suffix) + _NEW) as cache:
        ids = stage.suffix[None]
        for _ in range(_NEW):
            logits = stage.adapter.model(input_ids=ids, **{CACHE_ARGUMENT: cache}).logits[0, -1]
            logits[forbidden] = float("-inf")
            tokens.append(int(logits.argmax()))
            ids = torch.tensor([tokens[-1:]])
    return tokens


def _bits(prefilled: Any) -> list[torch.Tensor]:
    return [
        part.clone()
        for layer in prefilled.cache.layers
        for part in (
            layer.keys[:, :, : layer.length],
            layer.values[:, :, : layer.length],
            layer.cached_positions(),
        )
    ]


_WAYS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "sampling": {"do_sample": True, "temperature": 0.8, "top_p": 0.9},
    "beams": {"num_beams": 3},
    "several": {"do_sample": True, "num_return_sequences": 3},
    "several beams": {"num_beams": 3, "num_return_sequences": 2},
    "penalty": {"repetition_penalty": 1.3},
}


@pytest.mark.parametrize("spare", [0, 200])
@pytest.mark.parametrize("way", _WAYS)
def test_generate(stage: Any, engine: Any, way: str, spare: int) -> None:
    """It gives as many sequences as asked, the same twice, and leaves the memory to the bit."""
    prefilled = _prefilled(stage, engine, spare)
    before = _bits(prefilled)
    torch.manual_seed(3)
    first = _generate(stage, engine, prefilled, **_WAYS[way])
    assert first.shape == (_WAYS[way].get("num_return_sequences", 1), _NEW)
    assert all(torch.equal(a, b) for a, b in zip(before, _bits(prefilled), strict=True))
    torch.manual_seed(3)
    assert torch.equal(first, _generate(stage, engine, prefilled, **_WAYS[way]))


def test_greedy_is_greedy(stage: Any, engine: Any) -> None:
    """The stock loop and a loop by hand give the same tokens."""
    prefilled = _prefilled(stage, engine)
    end = stage.adapter.model.generation_config.eos_token_id
    by_hand = _greedy_by_hand(stage, engine, prefilled, end)
    assert _generate(stage, engine, prefilled)[0].tolist() == by_hand


def test_beams_keep_their_own_rows(stage: Any, engine: Any) -> None:
    """The score that beam search reports for its best beam is the model's own of that text."""
    prefilled = _prefilled(stage, engine)
    made = _generate(
        stage, engine, prefilled, num_beams=4, return_dict_in_generate=True, output_scores=True
    )
    tokens = made.sequences[0, len(stage.suffix) :]
    with engine.asking(prefilled, len(stage.suffix) + _NEW) as cache:
        ids = torch.cat((stage.suffix, tokens[:-1]))[None]
        logits = stage.adapter.model(input_ids=ids, **{CACHE_ARGUMENT: cache}).logits[0]
    chances = logits[-_NEW:].log_softmax(-1)[torch.arange(_NEW), tokens]
    torch.testing.assert_close(made.sequences_scores[0], chances.mean(), atol=1e-4, rtol=0)


def test_streaming(stage: Any, engine: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A streamer gets the tokens as they come, and they are those returned."""

    class Collect(BaseStreamer):
        def __init__(self) -> None:
            self.tokens: list[int] = []
            self.ended = False

        def put(self, value: torch.Tensor) -> None:
            self.tokens += value.flatten().tolist()

        def end(self) -> None:
            self.ended = True

    prefilled = _prefilled(stage, engine)
    collect = Collect()
    made = _generate(stage, engine, prefilled, streamer=collect)
    assert collect.ended
    assert collect.tokens == [*stage.suffix.tolist(), *made[0].tolist()]
    printer = TextStreamer(stage.adapter.tokenizer, skip_prompt=True)
    _generate(stage, engine, prefilled, streamer=printer)
    assert capsys.readouterr().out.strip() == stage.adapter.tokenizer.decode(made[0]).strip()


def test_two_questions_in_a_row(stage: Any, engine: Any) -> None:
    """The second answer does not depend on the first question."""
    prefilled = _prefilled(stage, engine)
    other = attrs.evolve(
        stage, suffix=torch.tensor(stage.adapter.prompt("A longer question, please?").suffix)
    )
    alone = _generate(other, engine, prefilled)
    _generate(stage, engine, prefilled, num_beams=2)
    assert torch.equal(alone, _generate(other, engine, prefilled))
