"""CLIP, SigLIP and SigLIP 2 from disk, against `transformers`' own processors and models."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image
from torch import Tensor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil

from retake.core.errors import MissingExtraError, ModelError, UsageError
from retake.scorers import scorers
from retake.scorers.clip import Clip
from retake.scorers.documents import Settings
from retake.scorers.pictures import PatchPictures
from tests.scorers import checkpoints

KINDS = ["clip", "siglip", "siglip2"]
_PROCESSORS: dict[str, Any] = {
    "clip": CLIPImageProcessorPil,
    "siglip": SiglipImageProcessorPil,
    "siglip2": Siglip2ImageProcessorPil,
}
_MODELS = {
    "clip": transformers.CLIPModel,
    "siglip": transformers.SiglipModel,
    "siglip2": transformers.Siglip2Model,
}
QUESTIONS = ["Which shape flashed in Orange?", "a", "Who " * 100]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint of each kind; do not change its files."""
    root = tmp_path_factory.mktemp("scorers")
    return {kind: checkpoints.make(root / kind, kind) for kind in KINDS}


def _frames(count: int, height: int = 45, width: int = 80) -> Tensor:
    """Frames that are no noise, so that resizing them leaves something."""
    draw = torch.Generator().manual_seed(count)
    small = torch.randint(0, 256, (count, 3, 6, 9), generator=draw).to(torch.uint8)
    large = torch.nn.functional.interpolate(small, size=(height, width), mode="bicubic")
    return large.permute(0, 2, 3, 1).contiguous()


def _expected(folder: Path, kind: str, frames: Tensor, question: str) -> Tensor:
    """Cosine similarities by the stock image processor, tokenizer and model: float32 `[F]`."""
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    pictures = _PROCESSORS[kind](**settings)(
        images=[Image.fromarray(frame.numpy()) for frame in frames], return_tensors="pt"
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    window = tokenizer.model_max_length
    padding = True if kind == "clip" else "max_length"
    words = tokenizer(
        [question.lower()], padding=padding, max_length=window, truncation=True, return_tensors="pt"
    )
    if kind != "clip":
        words.pop("attention_mask", None)
    model = _MODELS[kind].from_pretrained(folder).eval()
    with torch.inference_mode():
        seen = model(**pictures, **words)
    return (seen.image_embeds @ seen.text_embeds.T)[:, 0].clone()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(45, 80), (80, 45), (32, 32), (20, 20), (56, 57)])
@pytest.mark.parametrize("question", QUESTIONS)
def test_as_transformers_has_it(
    folders: dict[str, Path], kind: str, size: tuple[int, int], question: str
) -> None:
    """Every frame's similarity is that of the stock pipeline."""
    frames = _frames(3, *size)
    scorer = Clip(path=str(folders[kind]))
    rated = scorer.rate(scorer.look(frames), question)
    want = _expected(folders[kind], kind, frames, question)
    # Image libraries round a resized value now and then the other way.
    torch.testing.assert_close(rated, want, atol=2e-3, rtol=0)
    assert rated.dtype == torch.float32
    assert rated.abs().max() <= 1 + 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_frames_differ_and_questions_matter(folders: dict[str, Path], kind: str) -> None:
    """The tiny models react to what they see and read, or the comparison would show nothing."""
    scorer = Clip(path=str(folders[kind]))
    seen = scorer.look(_frames(5))
    first, second = scorer.rate(seen, "a cat"), scorer.rate(seen, "what happens to the van?")
    assert first.std() > 0.02
    assert (first - second).abs().max() > 0.02


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", [1, 3, 32])
def test_batches_change_nothing(folders: dict[str, Path], kind: str, batch: int) -> None:
    """However many frames are looked at together, each has the same embedding, of length 1."""
    frames = _frames(7)
    seen = Clip(path=str(folders[kind]), batch=batch).look(frames)
    whole = Clip(path=str(folders[kind]), batch=7).look(frames)
    torch.testing.assert_close(seen, whole, atol=1e-5, rtol=0)
    torch.testing.assert_close(seen.norm(dim=-1), torch.ones(7))
    assert Clip(path=str(folders[kind])).look(frames[:0]).shape == (0, seen.shape[1])


def test_a_checkpoint_is_read_once(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking and rating again, also by another scorer of the same folder, loads nothing."""
    scorer = Clip(path=str(folders["clip"]))
    seen = scorer.look(_frames(1))
    monkeypatch.setattr(transformers.CLIPModel, "from_pretrained", None)
    again = Clip(path=f"{folders['clip']}/../clip", batch=2)
    assert torch.equal(again.rate(again.look(_frames(1)), "cat"), scorer.rate(seen, "cat"))


def test_newer_layout(tmp_path: Path) -> None:
    """Settings as `transformers` 5 saves them, beside another file that it does not read then."""
    folder = checkpoints.make(tmp_path, "siglip", resample=3, size={"height": 8, "width": 8})
    inside = {"image_processor": checkpoints.SIGLIP_PICTURES, "processor_class": "SiglipProcessor"}
    (folder / "processor_config.json").write_text(json.dumps(inside))
    assert Clip(path=str(folder)).look(_frames(2)).shape == (2, 16)


@pytest.mark.parametrize(
    ("height", "width", "patch", "most"),
    [(45, 80, 16, 256), (1080, 1920, 16, 256), (56, 56, 16, 256), (7, 900, 14, 64), (3, 2, 8, 1)],
)
def test_naflex_sizes(height: int, width: int, patch: int, most: int) -> None:
    """Grids of patches are those of the published search."""
    from transformers.models.siglip2.image_processing_pil_siglip2 import (
        get_image_size_for_max_num_patches,
    )

    rules = PatchPictures.naflex(Settings({"patch_size": patch, "max_num_patches": most}, "f"))
    rows, columns = rules.grid(height, width)
    want = get_image_size_for_max_num_patches(height, width, patch, most)
    assert (rows * patch, columns * patch) == tuple(want)


def _remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _write(name: str, text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_text(text)

    return write


def _without_weight(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["visual_projection.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (_remove("config.json"), "holds no config.json"),
        (_remove("preprocessor_config.json"), "holds no preprocessor_config.json"),
        (_remove("model.safetensors"), "Cannot load the model"),
        (_write("model.safetensors", "no weights"), "Cannot load the model"),
        (_write("tokenizer.json", "{"), "Cannot load the tokenizer"),
        (_write("config.json", "[]"), "must hold a JSON object"),
        (_write("config.json", "{"), "cannot be read"),
        (_write("config.json", '{"model_type": "bert"}'), "'bert'(.|\n)*clip, siglip, siglip2"),
        (_write("config.json", "{}"), "model type None"),
        (_write("preprocessor_config.json", '{"size": 64}'), "64(.|\n)*takes 32 × 32|224 × 224"),
        (_without_weight, "lacks the weights visual_projection.weight"),
    ],
)
def test_damaged_checkpoints(tmp_path: Path, harm: Callable[[Path], None], says: str) -> None:
    """What is wrong with a folder is said, and it is named."""
    folder = checkpoints.make(tmp_path / "clip", "clip")
    harm(folder)
    with pytest.raises(ModelError, match=says) as raised:
        Clip(path=str(folder)).look(_frames(1))
    assert "clip" in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"size": "large"}, "'size' as \"large\""),
        ({"size": {"longest_edge": 5}}, "'size'"),
        ({"size": {"height": 0, "width": 2}}, "'size'"),
        ({"size": True}, "'size'"),
        ({"crop_size": {"shortest_edge": "x"}}, "'crop_size'"),
        ({"do_resize": False}, "'do_resize' as false"),
        ({"do_center_crop": "no"}, "'do_center_crop'"),
        ({"resample": 0}, "'resample' as 0"),
        ({"rescale_factor": 1}, "'rescale_factor'"),
        ({"image_mean": [0, 1]}, "'image_mean'"),
        ({"image_mean": ["a", "b", "c"]}, "'image_mean'"),
        ({"image_std": [0.5, 0.5, 0]}, "'image_std'"),
    ],
)
def test_wrong_picture_settings(tmp_path: Path, settings: dict[str, Any], says: str) -> None:
    """A setting of the wrong type, or one that retake does not carry out, is refused by name."""
    folder = checkpoints.make(tmp_path, "clip", **settings)
    with pytest.raises(ModelError, match=says):
        Clip(path=str(folder)).look(_frames(1))


def test_no_folder(tmp_path: Path) -> None:
    """A path that leads nowhere is refused, with what to give."""
    with pytest.raises(ModelError, match=r"no folder(.|\n)*clip:path="):
        Clip(path=str(tmp_path / "none")).look(_frames(1))


def test_no_tokenizer(tmp_path: Path) -> None:
    """A tokenizer is not made up."""
    folder = checkpoints.make(tmp_path, "clip", tokenizer=False)
    with pytest.raises(ModelError, match="holds no tokenizer"):
        Clip(path=str(folder)).look(_frames(1))


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "cpux"])
def test_no_such_device(folders: dict[str, Path], device: str) -> None:
    """A device that is not there is refused by name."""
    with pytest.raises(UsageError, match=device):
        Clip(path=str(folders["clip"]), device=device).look(_frames(1))


def test_options_are_checked() -> None:
    """It is registered, and takes no batch of nothing."""
    assert scorers.get("clip") is Clip
    with pytest.raises(ValueError, match="batch"):
        Clip(path="x", batch=0)


@pytest.mark.skipif(
    find_spec("sentencepiece") is None or find_spec("google") is None,
    reason="the extra 'scorers' is not installed",
)
def test_siglips_own_tokenizer(tmp_path: Path) -> None:
    """A SigLIP of the first kind, with a sentencepiece vocabulary, is as `transformers` has it."""
    folder = checkpoints.make_sentencepiece(tmp_path / "siglip")
    frames, scorer = _frames(3), Clip(path=str(folder))
    for question in ("Which shape flashed in Orange?", "a circle"):
        rated = scorer.rate(scorer.look(frames), question)
        want = _expected(folder, "siglip", frames, question)
        torch.testing.assert_close(rated, want, atol=2e-3, rtol=0)


def test_without_sentencepiece(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SigLIP's own tokenizer needs an extra, and the message names it."""

    def absent(*_: Any, **__: Any) -> None:
        raise ImportError("SiglipTokenizer requires the SentencePiece library")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", absent)
    folder = checkpoints.make(tmp_path, "siglip")
    with pytest.raises(MissingExtraError, match=r"sentencepiece(.|\n)*retake\[scorers\]"):
        Clip(path=str(folder)).look(_frames(1))
