"""Expected attention: against its formula, and against queries really drawn."""

import pytest
import torch

from retake.compressors.expected_attention import ExpectedAttention
from tests.compressors.making import make_chunk


@pytest.mark.parametrize("covariance", [True, False])
@pytest.mark.parametrize("epsilon", [0.0, 0.02])
def test_score(covariance: bool, epsilon: float) -> None:
    """Head by head, key by key, by the formula."""
    chunk = make_chunk(11)
    worth = torch.zeros(2, 11)
    for head, queries in enumerate(chunk.queries):
        keys = chunk.keys[head // 2]
        mean = queries.mean(0)
        sigma = torch.cov(queries.T, correction=0)
        logits = torch.stack([chunk.scaling * mean @ key for key in keys])
        if covariance:
            logits += torch.stack([chunk.scaling**2 * key @ sigma @ key / 2 for key in keys])
        worth[head // 2] += logits.exp() / logits.exp().sum() / 2
    wanted = ((worth + epsilon) * chunk.values.norm(dim=-1)).mean(0)
    got = ExpectedAttention(covariance=covariance, epsilon=epsilon).score(chunk)
    torch.testing.assert_close(got, wanted)


def test_it_expects_what_comes() -> None:
    """The expectation is the mean weight of many queries drawn from the chunk's distribution."""
    chunk = make_chunk(30, heads=1, groups=1, values=torch.ones(1, 30, 8))
    queries = chunk.queries[0]
    drawn = torch.distributions.MultivariateNormal(
        queries.mean(0), torch.cov(queries.T, correction=0) + 1e-6 * torch.eye(8)
    )
    torch.manual_seed(0)
    weights = (drawn.sample((200_000,)) @ chunk.keys[0].T * chunk.scaling).exp().mean(0)
    scores = ExpectedAttention().score(chunk)
    torch.testing.assert_close(scores / scores.sum(), weights / weights.sum(), rtol=0.03, atol=0)


def test_a_needle_that_queries_look_for() -> None:
    """A key along the mean query is kept; with a value of nothing it is worth nothing."""
    chunk = make_chunk(40, pivots=0)
    aim = torch.randn(8)
    chunk.queries[:] += 3 * aim
    chunk.keys[:, 17] = 3 * aim
    assert ExpectedAttention().compress(chunk, 1).tolist() == [17]
    chunk.values[:, 17] = 0
    assert 17 not in ExpectedAttention().compress(chunk, 39)


def test_spread_counts() -> None:
    """A key along which queries spread is worth more than one across, though both means are 0."""
    chunk = make_chunk(40, pivots=0, heads=1, groups=1, values=torch.ones(1, 40, 8))
    chunk.queries[:] = 0
    chunk.queries[:, ::2, 0], chunk.queries[:, 1::2, 0] = 5, -5
    chunk.keys[:] = 0
    chunk.keys[:, :, 1] = 2
    chunk.keys[:, 8] = 0
    chunk.keys[:, 8, 0] = 2
    assert ExpectedAttention().compress(chunk, 1).tolist() == [8]
    flat = ExpectedAttention(covariance=False).score(chunk)
    torch.testing.assert_close(flat, flat[:1].expand(40))
