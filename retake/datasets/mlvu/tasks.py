"""The tasks of MLVU, and what its files call them."""

from collections.abc import Mapping

SUB_SCENE = "sub_scene"
SUMMARY = "summary"

#: Answered by writing, and judged.
WRITING = (SUB_SCENE, SUMMARY)

#: The files of the dev split, without their suffix, which are its folders of videos too.
DEV_FILES: Mapping[str, str] = {
    "plotQA": "1_plotQA",
    "needle": "2_needle",
    "ego": "3_ego",
    "count": "4_count",
    "order": "5_order",
    "anomaly_reco": "6_anomaly_reco",
    "topic_reasoning": "7_topic_reasoning",
    SUB_SCENE: "8_sub_scene",
    SUMMARY: "9_summary",
}

#: Answered by choosing, in each split; the mean over them is M-Avg.
CHOICE: Mapping[str, tuple[str, ...]] = {
    "dev": tuple(task for task in DEV_FILES if task not in WRITING),
    "test": (
        *(task for task in DEV_FILES if task not in WRITING),
        "sportsQA",
        "tutorialQA",
    ),
}

#: What files, and the test server, call a task otherwise.
_OTHER_NAMES = {
    "findNeedle": "needle",
    "needleQA": "needle",
    "subPlot": SUB_SCENE,
    "subsummary": SUB_SCENE,
}
_SUBMITTED = {"needle": "needleQA", SUB_SCENE: "subsummary"}


def task_called(question_type: str) -> str | None:
    """The task that a file means; None where there is none of that name."""
    name = _OTHER_NAMES.get(question_type, question_type)
    return name if name in (*CHOICE["test"], *WRITING) else None


def submitted_as(task: str) -> str:
    """The question_type of a task in the files of the test split."""
    return _SUBMITTED.get(task, task)
