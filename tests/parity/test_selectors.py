"""Every recorded selector case: DPSelect and MA-LMM choose what the published code chose."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from retake.core.tokens import Selection, VisualTokens
from retake.selectors.dpselect import DPSelect, dissimilarity
from retake.selectors.ma_lmm import MaLmm, MemoryBank

_TOLERANCE = 1e-5
_PEAK = 2


@pytest.fixture(scope="module")
def recording(goldens: Path) -> tuple[list[dict[str, Any]], dict[str, Tensor], dict[str, Tensor]]:
    """The manifest's cases, the inputs and the outputs."""
    folder = goldens / "selectors"
    return (
        json.loads((folder / "manifest.json").read_text()),
        load_file(folder / "inputs.safetensors"),
        load_file(folder / "outputs.safetensors"),
    )


def _video(features: Tensor) -> VisualTokens:
    steps, patches, _ = features.shape
    return VisualTokens(features, torch.arange(steps).double(), (1, patches))


def _select(case: dict[str, Any], features: Tensor) -> Selection:
    return DPSelect(
        keep_ratio=min(1.0, case["tgt"] / case["T"]), per_patch=not case["sync"]
    ).select(_video(features))


def _per_patch(recorded: Tensor, patches: int) -> Tensor:
    """Recorded `[R]` or `[R, N]` as `[R, N]`."""
    return recorded.long() if recorded.ndim > 1 else recorded.long()[:, None].expand(-1, patches)


def _could_be_peaks(change: Tensor, slack: float) -> Tensor:
    """Which entries `[T, N]` are peaks of a window of 3, neighbours lowered by `slack`."""
    lowest = torch.full_like(change[:1], float("-inf"))
    before = torch.cat((lowest, change[:-1]))
    after = torch.cat((change[1:], lowest))
    return (change > before - slack) & (change > after - slack)


def _check_dpselect(case: dict[str, Any], source: Tensor, outputs: dict[str, Tensor]) -> str:
    """Equal, or where the recorded scores tie within the tolerance, one of the legal choices."""
    name, features = case["id"], source[0]
    patches = case["N"]
    slack = _TOLERANCE if source.dtype == torch.float32 else 2 * torch.finfo(source.dtype).eps
    chosen = _select(case, features)
    kept = chosen.steps.reshape(-1, patches)
    pivots = chosen.pivots.reshape(-1, patches)
    want = _per_patch(outputs[f"{name}.idx"], patches)
    marks = outputs[f"{name}.mask"].reshape(-1, patches)
    assert kept.shape == want.shape == (case["tgt"], patches)
    assert torch.equal(
        chosen.features.reshape(*kept.shape, -1),
        features.gather(0, kept[..., None].expand(-1, -1, features.shape[2])),
    )
    score = outputs[f"{name}.score"].float()
    score = score.T if score.ndim > 1 else score[:, None]
    recorded = score - _PEAK * (score >= _PEAK - slack)
    mine = dissimilarity(features)
    mine = mine.mean(dim=1, keepdim=True) if case["sync"] else mine
    sure, possible = _could_be_peaks(mine, -slack), _could_be_peaks(mine, slack)
    clear = torch.equal(sure, possible)
    if clear:
        torch.testing.assert_close(mine, recorded, atol=slack, rtol=0)
    low = (mine + _PEAK * sure).expand(-1, patches)
    high = (mine + _PEAK * possible).expand(-1, patches)
    for steps, flags in ((kept, pivots), (want, marks)):
        out = torch.ones_like(low, dtype=torch.bool).scatter_(0, steps, False)
        best_out = low.masked_fill(~out, float("-inf")).amax(0)
        worst_in = high.masked_fill(out, float("inf")).amin(0)
        clear &= bool((worst_in > best_out + slack).all())
        assert (worst_in >= best_out - 2 * slack).all()
        sure_here = sure.expand(-1, patches).gather(0, steps)
        assert not (sure_here & ~flags).any()
        assert not (flags & ~possible.expand(-1, patches).gather(0, steps)).any()
    decided = not case["peak_boundary_tie"] and case.get("min_margin", 1.0) >= _TOLERANCE
    if clear or (decided and torch.equal(sure, possible)):
        assert torch.equal(kept, want)
        assert torch.equal(pivots, marks)
    return "equal" if torch.equal(kept, want) and torch.equal(pivots, marks) else "tied"


def _check_where_published_fails(case: dict[str, Any], features: Tensor) -> str:
    """Ours works: as many steps as asked for and there are, a lone step being a pivot."""
    chosen = _select(case, features)
    assert len(chosen) == min(case["tgt"], case["T"]) * case["N"]
    kept = chosen.steps.reshape(-1, case["N"])
    pivots = chosen.pivots.reshape(kept.shape)
    assert (kept.diff(dim=0) > 0).all()
    assert pivots.any(dim=0).all()
    if case["T"] == 1:
        assert pivots.all()
    if case["tgt"] >= case["T"]:
        change = dissimilarity(features)
        change = change.mean(dim=1, keepdim=True) if case["sync"] else change
        assert torch.equal(pivots, _could_be_peaks(change, 0).expand(kept.shape))
    return "published fails"


def _check_ma_lmm(case: dict[str, Any], source: Tensor, outputs: dict[str, Tensor]) -> str:
    want = outputs[f"{case['id']}.out"]
    assert want.shape[0] == source.shape[0]
    for video, expected in zip(source, want, strict=True):
        selector = MaLmm(
            keep_ratio=case["tgt"] / case["T"],
            per_patch=not case["sync"],
            hard=case["algo"].endswith("hard"),
        )
        merged = selector.select(_video(video)).features.reshape(expected.shape)
        torch.testing.assert_close(merged, expected, atol=_TOLERANCE, rtol=0)
    return "equal"


def _check_one_merge(
    case: dict[str, Any], source: Tensor, sizes: Tensor, outputs: dict[str, Tensor]
) -> str:
    """One merge of a bank whose tokens stand for several steps, averaged and hard."""
    name = case["id"]
    for number in range(source.shape[0]):
        for hard, out in ((False, f"{name}.out"), (True, f"{name}.hard_out")):
            bank = MemoryBank(
                source[number], per_patch=not case["sync"], hard=hard, sizes=sizes[number]
            )
            bank.merge_once()
            features, _, counts = bank.rows()
            torch.testing.assert_close(features, outputs[out][number], atol=_TOLERANCE, rtol=0)
            if not hard:
                assert torch.equal(counts, outputs[f"{name}.size"][number])
    return "equal"


def test_every_recorded_case(
    recording: tuple[list[dict[str, Any]], dict[str, Tensor], dict[str, Tensor]],
    subtests: pytest.Subtests,
    report: Any,
) -> None:
    """All cases of the manifest are compared; only ties may differ, and legally."""
    cases, inputs, outputs = recording
    outcome: Counter[str] = Counter()
    for case in cases:
        with subtests.test(case["id"]):
            source = inputs[case["input"]]
            before = source.clone()
            if "error" in case:
                outcome[_check_where_published_fails(case, source[0])] += 1
            elif "sizes" in case:
                outcome[_check_one_merge(case, source, inputs[case["sizes"]], outputs)] += 1
            elif case["algo"] == "keyframe":
                outcome[_check_dpselect(case, source, outputs)] += 1
            else:
                outcome[_check_ma_lmm(case, source, outputs)] += 1
            assert torch.equal(source, before)
    report(f"selectors: {outcome.total()} of {len(cases)} cases {dict(outcome)}")
    undecided = sum(
        bool(case["peak_boundary_tie"]) or case.get("min_margin", 1.0) < _TOLERANCE
        for case in cases
    )
    failing = sum("error" in case for case in cases)
    assert len(cases) > 0
    assert outcome.total() == len(cases)
    assert outcome["published fails"] == failing
    assert outcome["tied"] <= undecided
