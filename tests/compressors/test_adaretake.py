"""AdaReTaKe: the question's look, and the budgets of chunks and layers."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from retake.compressors import adaretake
from retake.compressors.adaretake import AdaReTaKe
from retake.core.errors import UsageError
from retake.core.tokens import Selection
from tests.compressors.making import make_chunk, plain_weights


def _selection(features: Tensor, rows: Tensor, patches: Tensor, places: int) -> Selection:
    return Selection(
        features=features,
        rows=rows,
        steps=rows,
        patches=patches,
        pivots=torch.zeros(len(rows), dtype=torch.bool),
        source=(int(rows[-1]) + 1, places),
    )


def _whole(features: Tensor) -> Selection:
    """All of `[T, N, C]`."""
    steps, places, width = features.shape
    rows = torch.arange(steps).repeat_interleave(places)
    return _selection(features.reshape(-1, width), rows, torch.arange(places).repeat(steps), places)


def test_score() -> None:
    """The question's weights over the chunk's keys, summed over it, the mean over heads."""
    chunk = make_chunk(15, guide=4)
    assert chunk.guide is not None
    wanted = plain_weights(chunk, chunk.guide, causal=False).sum(1).mean(0)
    torch.testing.assert_close(AdaReTaKe().score(chunk), wanted)


def test_what_the_question_looks_for_is_kept() -> None:
    """A needle for the question; what the video's own queries look for does not matter."""
    chunk = make_chunk(40, pivots=0, guide=3)
    assert chunk.guide is not None
    chunk.guide[:] = 5 * chunk.keys[:, 12].repeat_interleave(2, dim=0)[:, None]
    chunk.queries[:] = 5 * chunk.keys[:, 30].repeat_interleave(2, dim=0)[:, None]
    assert AdaReTaKe().compress(chunk, 1).tolist() == [12]


def test_no_question() -> None:
    """It says what it needs, and how to give it."""
    with pytest.raises(UsageError, match="adaretake scores by the question") as caught:
        AdaReTaKe().score(make_chunk(5))
    assert "questions=[question]" in str(caught.value)


@pytest.mark.parametrize("tokens", [1, 7, 1024])
def test_chunks_by_change(tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean cosine distance of a chunk's tokens to the step before, the chunk before's too."""
    monkeypatch.setattr(adaretake, "_TOKENS", tokens)
    features = torch.randn(9, 3, 16)
    selection = _whole(features)
    apart = 1 - F.cosine_similarity(features[1:], features[:-1], dim=-1)
    chunks = [selection.part(0, 12), selection.part(12, 15), selection.part(15, 27)]
    wanted = torch.stack([apart[:3].mean(), apart[3:4].mean(), apart[4:].mean()])
    torch.testing.assert_close(AdaReTaKe().chunk_weights(chunks), wanted)


def test_places_are_followed_on_their_own() -> None:
    """A token is compared with the one before it at its place, however many rows ago."""
    features = torch.randn(5, 6)
    rows, patches = torch.tensor([0, 0, 1, 2, 3]), torch.tensor([0, 1, 1, 1, 0])
    selection = _selection(features, rows, patches, 2)
    apart = [
        float(1 - F.cosine_similarity(features[a], features[b], dim=0))
        for a, b in [(2, 1), (3, 2), (4, 0)]
    ]
    weights = AdaReTaKe().chunk_weights([selection.part(0, 3), selection.part(3, 5)])
    torch.testing.assert_close(weights, torch.tensor([apart[0], (apart[1] + apart[2]) / 2]))


def test_a_scene_that_moves_keeps_more() -> None:
    """Known answer: a still chunk, one with a cut, one that changes all the time."""
    features = torch.randn(1, 2, 16).repeat(12, 1, 1)
    features[6:] = torch.randn(1, 2, 16)
    features[8:] = torch.randn(4, 2, 16)
    selection = _whole(features)
    chunks = [selection.part(0, 8), selection.part(8, 16), selection.part(16, 24)]
    still, cut, moving = AdaReTaKe().chunk_weights(chunks).tolist()
    assert 0 < still < 1e-5
    assert still < cut < moving


def test_a_first_chunk_of_one_step_is_an_average_one() -> None:
    """Nothing to compare with says nothing; a video of one step is all the same."""
    selection = _whole(torch.randn(5, 2, 16))
    chunks = [selection.part(0, 2), selection.part(2, 6), selection.part(6, 10)]
    weights = AdaReTaKe().chunk_weights(chunks)
    torch.testing.assert_close(weights[0], weights[1:].mean())
    assert AdaReTaKe().chunk_weights(chunks[:1]).tolist() == [1.0]


@pytest.mark.parametrize("lengths", [[6, 6, 6], [6, 3, 8]])
def test_layers_by_hits(lengths: list[int]) -> None:
    """Among the best of all layers, how many are a layer's, plus one; the weights average 1."""
    scores = [torch.rand(length) for length in lengths]
    best = sorted(((-float(score), layer) for layer, each in enumerate(scores) for score in each))[
        : 3 * len(lengths)
    ]
    hits = [1 + sum(layer == at for _, layer in best) for at in range(len(lengths))]
    weights = AdaReTaKe().share_layers(scores, 3)
    assert weights == pytest.approx([3 * hit / sum(hits) for hit in hits])
    assert sum(weights) == pytest.approx(3)


def test_a_layer_that_looks_keeps_more() -> None:
    """A layer whose scores are all above the others' gets its hits; the others one each."""
    nothing, much = torch.zeros(10), 5 + torch.rand(10)
    # Nine hits and one more; one; one.
    weights = AdaReTaKe().share_layers([nothing, much, nothing], 3)
    assert weights == pytest.approx([3 / 12, 30 / 12, 3 / 12])
    assert AdaReTaKe().share_layers([nothing] * 3, 10) == pytest.approx([1, 1, 1])


def test_what_it_weighs_is_optional() -> None:
    """Each of the two budgets can be switched off."""
    assert AdaReTaKe().weighs_chunks
    assert AdaReTaKe().weighs_layers
    assert not AdaReTaKe(temporal=False).weighs_chunks
    assert not AdaReTaKe(layered=False).weighs_layers
