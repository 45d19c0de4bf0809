"""What a judge of MLVU is told, word for word, and how its replies are read."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from retake.datasets.mlvu import rubrics
from tests.datasets.mlvu.asking import benchmark


def test_a_caption_is_judged_by_the_official_words(made: Callable[..., Path]) -> None:
    """The scripts' indentation is sent, too; a question's line breaks are not."""
    made_it = benchmark(made(), tasks="generation")
    sample = next(one for one in made_it.samples() if one.kind == "sub_scene")
    points = list(sample.details["scoring_points"])
    system, user = made_it.judging(sample, "A star.\nTwice.") or ()
    assert (system["role"], user["role"]) == ("system", "user")
    lines = system["content"].split("\n")
    assert len(lines) == 23
    assert lines[1] == f"{' ' * 28}##TASK DESCRIPTION: "
    assert lines[-3:] == [
        f"{' ' * 28}3. Output Scores in JSON Format: Present the scores in JSON format as follows:",
        f"{' ' * 28}{{'score_accuracy': score_acc, 'score_relevance': score_rele, "
        "'total_score': score_acc + score_rele}",
        " " * 24,
    ]
    assert user["content"] == (
        f"\n{' ' * 28}Please score the respondent's answer according to the steps in the "
        "Instructions. You must end with a JSON dict to store the scores.\n"
        f"{' ' * 28}Question: Please describe what flashes first,and over what?\n"
        f"{' ' * 28}Scoring Points: {points}\n"
        f"{' ' * 28}Respondent's Answer: A star.\nTwice.\n"
        f"{' ' * 24}"
    )


def test_a_summary_is_judged_by_the_official_words(made: Callable[..., Path]) -> None:
    made_it = benchmark(made(), tasks="generation")
    sample = next(one for one in made_it.samples() if one.kind == "summary")
    system, user = made_it.judging(sample, "A star.") or ()
    lines = system["content"].split("\n")
    assert len(lines) == 24
    assert lines[2].startswith(f"{' ' * 28}You are required to evaluate the performance of the ")
    assert lines[-2] == (
        f"{' ' * 28}{{'score_completeness': score_comp, 'score_reliability': score_reli, "
        "'total_score': score_comp + score_reli}"
    )
    assert user["content"].split("\n")[2:4] == [
        f"{' ' * 28}Standard Answer: {sample.answer}",
        f"{' ' * 28}Respondent's Answer: A star.",
    ]


def test_the_rubrics_are_those_of_the_scripts() -> None:
    """By the SHA-256 of what `evaluate_ssc.py` and `evaluate_summary.py` send."""
    digests = [sha256(text.encode()).hexdigest() for text in (rubrics.SUB_SCENE, rubrics.SUMMARY)]
    assert digests == [
        "ea8baab4268d7d65428c4192e8565ef79d49642f996c1854d732f35a4feb0654",
        "1a00fdaacb0ba40a6330512c652d1bad002a89861946246451d4fe61ec7662ea",
    ]


def test_choices_need_no_judge(made: Callable[..., Path]) -> None:
    made_it = benchmark(made())
    assert all(made_it.judging(sample, "B") is None for sample in made_it.samples())


REPLIES = [
    ("{'score_accuracy': 4, 'score_relevance': 5, 'total_score': 9}", (4, 5)),
    ('{"score_accuracy": 4, "score_relevance": 5, "total_score": 9}', (4, 5)),
    ('```json\n{\n  "score_accuracy": 4.5,\n  "score_relevance": 5\n}\n```', (4.5, 5)),
    ("It is good. {'score_accuracy': 3, 'score_relevance': 2, 'total_score': 3 + 2}", (3, 2)),
    ("{'score_accuracy': 3, 'score_relevance': 2, 'total_score': 9}", (3, 2)),
    (
        "As {'score_accuracy': score_acc, 'score_relevance': x}: {'score_relevance': 2.50, "
        "'score_accuracy': 1.}. Thanks!",
        (1, 2.5),
    ),
    ("{score_accuracy: 1, score_relevance: 5}", (1, 5)),
    ("{'score_accuracy': '4', 'score_relevance': \"5\"}", (4, 5)),
    ("{'scores': {'score_accuracy': 4, 'score_relevance': 5}}", (4, 5)),
    ("{'score_accuracy': 3.0,\n 'score_relevance': 4,}", (3, 4)),
    ("{'score_accuracy' : +4 , 'score_relevance' : 5 }", (4, 5)),
]
REFUSED = [
    ("", "no dict with score_accuracy and score_relevance"),
    ("I cannot judge that.", "no dict"),
    ("Accuracy 4, relevance 5", "no dict"),
    ("{'score_completeness': 4, 'score_reliability': 5}", "no dict"),
    ("{'score_accuracy': 4, 'score_relevance': 5", "no dict"),
    ("{'score_accuracy': 4}", "score_relevance is missing"),
    ("{'score_accuracy': 4, 'score_relevance': 6}", "from 1 to 5, got 6"),
    ("{'score_accuracy': 0, 'score_relevance': 5}", "from 1 to 5, got 0"),
    ("{'score_accuracy': -4, 'score_relevance': 5}", "from 1 to 5, got -4"),
    ("{'score_accuracy': 13/3, 'score_relevance': 5}", "a number, got '13/3'"),
    ("{'score_accuracy': 4/5, 'score_relevance': 5}", "a number, got '4/5'"),
    ("{'score_accuracy': null, 'score_relevance': 5}", "a number, got 'null'"),
    ("{'score_accuracy': nan, 'score_relevance': 5}", "a number, got 'nan'"),
    ("{'score_accuracy': 1e1, 'score_relevance': 5}", "a number, got '1e1'"),
    ("{'score_accuracy': score_acc, 'score_relevance': 5}", "a number, got 'score_acc'"),
    ("{'score_accuracy': [4], 'score_relevance': 5}", r"a number, got '\[4\]'"),
]


@pytest.mark.parametrize(("reply", "scores"), REPLIES)
def test_what_a_judge_says(
    made: Callable[..., Path], reply: str, scores: tuple[float, float]
) -> None:
    """The last dict, however it is written; the total is of no account."""
    made_it = benchmark(made(), tasks="generation")
    sample = next(one for one in made_it.samples() if one.kind == "sub_scene")
    assert made_it.judged(sample, reply) == dict(
        zip(("accuracy", "relevance"), scores, strict=True)
    )
    other = next(one for one in made_it.samples() if one.kind == "summary")
    reply = reply.replace("accuracy", "completeness").replace("relevance", "reliability")
    assert tuple(made_it.judged(other, reply).values()) == scores


@pytest.mark.parametrize(("reply", "says"), REFUSED)
def test_what_is_no_judgement(made: Callable[..., Path], reply: str, says: str) -> None:
    made_it = benchmark(made(), tasks="generation")
    sample = next(one for one in made_it.samples() if one.kind == "sub_scene")
    with pytest.raises(ValueError, match=says):
        made_it.judged(sample, reply)
