"""Training the embedded model: its wiring is the stock model's, and its folder loads."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, Qwen2VLForConditionalGeneration

import retake
from retake.datasets.scenes.clip import Clip
from retake.datasets.scenes.questions import Question
from retake.datasets.scenes.world import stream, write_script
from retake.models.embedded import checkpoint_path, clips
from training.embedded.__main__ import train
from training.embedded.architecture import build_model
from training.embedded.batches import (
    AFTER_CHOICE,
    BEFORE,
    OPTION_FORMS,
    PREFIX,
    Lesson,
    Wording,
    Writer,
    draw_batch,
)
from training.embedded.footage import Footage, film, play
from training.embedded.forward import Eviction, answer, encode_steps, read_video
from training.embedded.language import place
from training.embedded.pixels import patchify, resize
from training.embedded.tokens import build_tokenizer
from training.evaluate import Setting, interval, measure, table, write_card


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


@pytest.fixture(scope="module")
def model(tokenizer):
    torch.manual_seed(0)
    return build_model(tokenizer).eval()


@pytest.fixture(scope="module")
def footage() -> Footage:
    return film(takes=1, length=2, rng=stream("train", 0))


def whole_positions(prefix: int, steps: int, text: int) -> torch.Tensor:
    """Positions [3, 1, L] by Qwen2-VL's rule, written out token by token."""
    rows = [(i, i, i) for i in range(prefix)]
    rows += [
        (prefix + t, prefix + h, prefix + w) for t in range(steps) for h in (0, 1) for w in (0, 1)
    ]
    after = max(max(row) for row in rows) + 1
    rows += [(after + i,) * 3 for i in range(text)]
    return torch.tensor(rows).T[:, None]


@torch.no_grad()
def test_vision_wiring_is_the_stock_towers(model) -> None:
    """Steps encoded side by side equal the stock tower's, to the last few bits."""
    frames = torch.randint(0, 255, (6, 56, 56, 3), dtype=torch.uint8)
    patches = patchify(frames)
    stock = model.model.visual(patches.flatten(0, 1), grid_thw=torch.tensor([[3, 4, 4]]))
    ours = encode_steps(model, patches).flatten(0, 1)
    torch.testing.assert_close(ours, stock.pooler_output, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("eviction", [None, Eviction(1.0, chunk=2)])
def test_language_wiring_is_the_stock_models(model, eviction: Eviction | None) -> None:
    """Each packed question is answered as if it were alone; keeping all evicts nothing."""
    prefix, steps, text = 5, 6, 7
    torch.manual_seed(1)
    video = torch.randn(1, prefix + 4 * steps, 128)
    questions = torch.randn(1, 2, text, 128)
    reading = read_video(model, video, place(prefix, steps)[:, None], prefix, eviction)
    ours = answer(model, reading, questions)
    for index in range(2):
        embeds = torch.cat([video, questions[:, index]], dim=1)
        stock = model.model.language_model(
            inputs_embeds=embeds, position_ids=whole_positions(prefix, steps, text)
        ).last_hidden_state[:, -text:]
        torch.testing.assert_close(ours[:, index], stock, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_eviction_keeps_its_share_of_every_chunk(model) -> None:
    """A quarter of each chunk and all of the prefix stay; text follows the squeezed video."""
    prefix, steps = 5, 16
    video = torch.randn(2, prefix + 4 * steps, 128)
    positions = place(prefix, steps)[:, None].expand(-1, 2, -1)
    reading = read_video(model, video, positions, prefix, Eviction(0.25, chunk=8))
    for _, _, visible in reading.layers:
        assert visible[:, :prefix].all()
        assert visible[:, prefix:].view(2, 2, 32).sum(-1).eq(8).all()
    assert reading.next_position.tolist() == [prefix + 4, prefix + 4]


def test_patches_are_in_merge_order() -> None:
    """The first four patches are the upper left 28 × 28 pixels, channel first, then time."""
    frames = torch.randint(0, 255, (2, 56, 56, 3), dtype=torch.uint8)
    patches = patchify(frames).view(1, 16, 3, 2, 14, 14)
    one = patches[0, 3, 1, 1]  # row 1, column 1 of the first block; green, second frame
    values = (frames[1, 14:28, 14:28, 1].float() - 255 * 0.4578275) / (255 * 0.26130258)
    torch.testing.assert_close(one, values)
    assert resize(torch.zeros(1, 224, 224, 3, dtype=torch.uint8)).shape == (1, 56, 56, 3)


def test_tokenizer_reads_case_and_punctuation(tokenizer) -> None:
    """Words fold their case, letters alone keep it, and answers decode readably."""
    ids = tokenizer("What COLOUR? (A) Red", add_special_tokens=False).input_ids
    assert tokenizer.convert_ids_to_tokens(ids) == ["what", "colour", "?", "(", "A", ")", "red"]
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert tokenizer.decode([*tokenizer("B").input_ids, end], skip_special_tokens=True) == "B"


def test_chat_template_is_qwen2_vls(tokenizer) -> None:
    """The rendered chat, cut at the video, gives the two pieces that training used."""
    content = [{"type": "video"}, {"type": "text", "text": "Did a moon flash?"}]
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    before, after = text.split("<|video_pad|>")
    assert before == PREFIX
    assert after == "<|vision_end|>Did a moon flash?<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize("form", OPTION_FORMS)
def test_lines_know_where_things_are(tokenizer, form: tuple[str, str]) -> None:
    """The question ends where the line says, and options stand where it says."""
    writer = Writer(tokenizer)
    question = Question("needle_colour", "Which flashed?", ("red", "blue"), "blue")
    wording = Wording(BEFORE[-1], AFTER_CHOICE[-1], "", form, options_word=True, unknown=0)
    line = writer.line(question, wording, False, np.random.default_rng(0))
    words = tokenizer.convert_ids_to_tokens(line.ids)
    assert words[line.ask_at] == "?"
    assert [(words[at], letter, right) for at, letter, right in line.options] == [
        ("red", 0, 0),
        ("blue", 1, 1),
    ]
    assert words[-4:] == ["<|im_start|>", "assistant", "B", "<|im_end|>"]
    assert "<unk>" not in words


def test_no_word_of_any_lesson_is_unknown(tokenizer, footage: Footage) -> None:
    """The vocabulary covers the world's questions and every wording around them."""
    rng, writer = stream("train", 5), Writer(tokenizer)
    for text in (*BEFORE, *AFTER_CHOICE):
        assert tokenizer.unk_token_id not in writer.encode(text)
    batch = draw_batch(Lesson(steps=8, videos=2, questions=6, copy_share=0.3), footage, writer, rng)
    assert batch.frames.shape == (2, 16, 56, 56, 3)
    chosen = batch.ids.gather(2, (batch.answer_at + 1)[..., None])[..., 0]
    assert torch.equal(chosen, batch.answers)


def test_played_scripts_show_their_cards(footage: Footage) -> None:
    """A card is in the frames sampled during its time."""
    script = write_script(32, 3, split="train")
    frames, times = play(script, footage, stream("train", 1))
    light = (frames.min(-1) > 180).mean((1, 2)) > 0.2
    flashed = [script.needle_at(time) is not None for time in times]
    assert light.tolist() == flashed


def test_quick_training_saves_a_folder_that_loads(tmp_path: Path) -> None:
    """The whole command in its quick setting, then evaluation of what it saved."""
    train(tmp_path / "out", quick=True, quiet=True)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors"} <= names
    assert {"tokenizer.json", "preprocessor_config.json"} <= names
    assert sum(p.stat().st_size for p in (tmp_path / "out").iterdir()) < 6e6
    loaded = Qwen2VLForConditionalGeneration.from_pretrained(tmp_path / "out")
    assert loaded.dtype == torch.float16
    assert (
        len(AutoTokenizer.from_pretrained(tmp_path / "out")) == loaded.config.text_config.vocab_size
    )
    text = table(measure(tmp_path / "out", 1, (Setting(1, keep=0.25),)))
    assert "needle_colour" in text
    card = tmp_path / "README.md"
    card.write_text("a\n<!-- accuracy -->\nold\n<!-- /accuracy -->\nz\n")
    write_card(card, text)
    assert "old" not in card.read_text()
    assert card.read_text().startswith("a\n")


def test_interval_holds_the_share() -> None:
    """Wilson's interval: known values, and never outside 0 to 1."""
    assert interval(50, 100) == pytest.approx((0.404, 0.596), abs=1e-3)
    assert interval(20, 20)[1] == pytest.approx(1.0)


def test_bundled_files_are_small_and_complete() -> None:
    """The checkpoint fits into 6 MB, the clips into 1.5 MB, each with its sidecar."""
    assert sum(path.stat().st_size for path in checkpoint_path().iterdir()) < 6e6
    assert len(clips()) == 3
    assert all(path.with_suffix(".json").exists() for path in clips())
    assert sum(path.stat().st_size for path in clips()[0].parent.iterdir()) < 1.5e6


def test_bundled_clips_are_answered_through_the_public_api() -> None:
    """With the whole cache, every question of every bundled clip is answered rightly."""
    model = retake.load(selector="none", compressor="none")
    for path in clips():
        model.watch(path)
        for question in Clip.load(path.with_suffix(".json")).questions:
            assert model.ask(question.choose()).text == question.letter
            assert model.ask(question.text).text == question.answer
