"""The questions of MLVU, read from the files that it is published in.

Three layouts of rows, told apart by what is there: MLVU/MVLU has a JSON file a task; MLVU/MLVU_Test
has one file of choices and one of writing, and what is right in a folder of its own; the tables
that lmms-eval reads (sy1998/MLVU_dev, sy1998/MLVU_Test) have the options in the question, too, and
letters for answers.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs

from retake.core.errors import UsageError, unknown_name
from retake.datasets.extraction import LETTERS
from retake.datasets.files import column, find_table, read_table
from retake.datasets.mlvu.tasks import CHOICE, DEV_FILES, SUB_SCENE, WRITING, task_called
from retake.datasets.published import plain_name, positive

_DEV_FOLDERS = ("MLVU/json", "json", ".")
#: Tables as lmms-eval's hub has them; the first pattern that fits.
_TABLES = {
    "dev": ("mlvu/*.parquet", "test-*.parquet", "*/test-*.parquet", "mlvu_dev.json*"),
    "test": ("mlvu_test/*.parquet", "test-*.parquet", "*/test-*.parquet", "mlvu_test.json*"),
}
#: The official test split: the questions, best file first, and what is right about them.
_CHOICES = (("test_multi_choice_tasks.json", "test_question.json"), ("test_mcq_gt.json",))
_WRITING = (("test_generation_tasks.json",), ("test_ssc_gt.json", "test_vs_gt.json"))
_TEST_FOLDERS = (".", "test-ground-truth", "MLVU_Test")


@attrs.frozen
class Question:
    """One question of MLVU.

    Attributes:
        id: its own, where the table has one; else "1_plotQA/0" by file and row, or "plotQA/0" by
            task and its row, counted from 0.
        task: one of those in `retake.datasets.mlvu.tasks`.
        video: the file's name, as the table has it.
        text: the question alone.
        candidates: what may be chosen; none where an answer is to be written.
        answer: the right letter, or the standard answer; None where it is hidden.
        seconds: how long the video is; None where the table does not say.
        scoring_points: what a sub-scene caption should mention.
        folder: that the video is in, "1_plotQA"; "" where they are all in one.
    """

    id: str
    task: str
    video: str
    text: str
    candidates: tuple[str, ...]
    answer: str | None
    seconds: float | None
    scoring_points: tuple[str, ...] = ()
    folder: str = ""

    @property
    def has_no_right_candidate(self) -> bool:
        """Whether the answer is none of the candidates: no letter is right then."""
        letters = tuple(LETTERS[: len(self.candidates)])
        return bool(letters) and self.answer is not None and self.answer not in letters


@attrs.frozen
class Annotations:
    """All questions of a split, and the files that they are from."""

    questions: tuple[Question, ...]
    files: tuple[Path, ...]


def read_annotations(root: Path, split: str, choice: bool, writing: bool) -> Annotations:
    """The questions of a split, in the files' order.

    Args:
        root: the folder that it was downloaded to.
        split: "dev" or "test".
        choice, writing: which sort of tasks is wanted.

    Raises:
        UsageError: files are missing or not as published; the message says what was looked for.
        MissingExtraError: they are parquet, and pyarrow is not installed.
    """
    official = _official_dev if split == "dev" else _official_test
    return official(root, choice, writing) or _table(root, split, writing)


def _official_dev(root: Path, choice: bool, writing: bool) -> Annotations | None:
    for place in _DEV_FOLDERS:
        paths = {task: root / place / f"{name}.json" for task, name in DEV_FILES.items()}
        if not any(path.is_file() for path in paths.values()):
            continue
        wanted = {
            task: path for task, path in paths.items() if (writing if task in WRITING else choice)
        }
        questions = [
            one for task, path in wanted.items() for one in _dev_file(task, path, DEV_FILES[task])
        ]
        return Annotations(tuple(questions), tuple(wanted.values()))
    return None


def _dev_file(task: str, path: Path, folder: str) -> Iterable[Question]:
    for number, row in enumerate(read_table(path)):
        # As in the official script, it is the file that says which task a row is of.
        one = _question(row, path, number + 1, task, f"{folder}/{number}")
        yield attrs.evolve(_known(one, path, number + 1), folder=folder)


def _known(one: Question, path: Path, number: int) -> Question:
    """A question of the dev split, which hides nothing."""
    if one.answer is None and not one.scoring_points:
        raise UsageError(
            f"Row {number} of '{path}' says no answer, and only the test split hides them.",
            hint="If this is the test split's table, give --benchmark-option split=test; else "
            "fetch it again.",
        )
    return one


def _official_test(root: Path, choice: bool, writing: bool) -> Annotations | None:
    files: list[Path] = []
    questions: list[Question] = []
    sorts = ((choice, _CHOICES, CHOICE["test"]), (writing, _WRITING, WRITING))
    for wanted, (asked_names, right_names), tasks in sorts:
        if not wanted:
            continue
        asked = _there(root, asked_names)[:1]
        rights = _there(root, right_names)
        if not (asked or rights):
            if files:
                raise UsageError(f"There is no {asked_names[0]} in '{root}'.")
            return None
        found = [one for path in asked or rights for one in _by_task(path, tasks)]
        for path in rights if asked else ():
            found = _revealed(found, _by_task(path, tasks), path)
        questions += found
        files += [*asked, *rights]
    return Annotations(tuple(questions), tuple(files))


def _there(root: Path, names: Iterable[str]) -> list[Path]:
    """Those of some files that are there, each in the first of the folders where it may be."""
    paths = ([root / place / name for place in _TEST_FOLDERS] for name in names)
    found = (next((path for path in some if path.is_file()), None) for some in paths)
    return [path for path in found if path]


def _by_task(
    path: Path, tasks: Sequence[str], *, letters: bool = False, split: str = "test"
) -> list[Question]:
    """The questions of some tasks in a file of several.

    Args:
        letters: whether answers may be letters; where most are, one is no option's text, even
            if that is a letter.
        split: that the file is of.
    """
    questions = []
    counted = dict.fromkeys(tasks, 0)
    rows = read_table(path)
    letters = letters and 2 * sum(_is_letter(row) for row in rows) > len(rows)
    for number, row in enumerate(rows, 1):
        task = _task(row, path, number)
        if task in counted:
            name = str(row.get("question_id") or f"{task}/{counted[task]}")
            counted[task] += 1
            one = _question(row, path, number, task, name, letters=letters)
            questions.append(_known(one, path, number) if split == "dev" else one)
    return questions


def _is_letter(row: dict[str, Any]) -> bool:
    """Whether a row's answer can be a letter of its candidates; one that is hidden can."""
    answer, candidates = row.get("answer"), row.get("candidates")
    count = len(candidates) if isinstance(candidates, list) else 0
    return answer in (None, "", *LETTERS[:count])


def _revealed(
    questions: Sequence[Question], known: Sequence[Question], path: Path
) -> list[Question]:
    """Questions with what a file of answers says about them.

    Raises:
        UsageError: a question of a task that the file is about is not in it.
    """
    right = {key: one for one in known for key in _keys(one)}
    tasks = {one.task for one in known}
    told = []
    for one in questions:
        same = next((right[key] for key in _keys(one) if key in right), None)
        if same:
            told.append(attrs.evolve(one, answer=same.answer, scoring_points=same.scoring_points))
        elif one.task in tasks:
            raise UsageError(
                f"'{path}' does not say what is right for the question '{one.id}'.",
                hint="Questions and answers are of different releases, or one of the files is cut "
                "short; fetch both again.",
            )
        else:
            told.append(one)
    return told


def _keys(one: Question) -> list[tuple[object, ...]]:
    """By which a question is found in another file; writing tasks are published without ids."""
    by_words = (one.video, one.text, one.candidates)
    return [(one.id, one.candidates), by_words] if one.candidates else [by_words]


def _table(root: Path, split: str, writing: bool) -> Annotations:
    """The table that lmms-eval reads."""
    official = ("MLVU/json/1_plotQA.json",) if split == "dev" else _CHOICES[0]
    path = find_table(root, *official, *_TABLES[split])
    if writing:
        raise UsageError(
            f"'{path}' has no tasks that are answered by writing.",
            hint="They are in MLVU/MVLU and MLVU/MLVU_Test as the authors publish them; "
            "docs/datasets/mlvu.md says how to get these.",
        )
    questions = _by_task(path, CHOICE["test"], letters=True, split=split)
    others = {one.task for one in questions}.difference(CHOICE[split])
    if others:
        raise UsageError(
            f"'{path}' is not of the split '{split}': it has {' and '.join(sorted(others))}.",
            hint="Give --benchmark-option split=test.",
        )
    return Annotations(tuple(attrs.evolve(one, text=_stem(one.text)) for one in questions), (path,))


def _stem(text: str) -> str:
    """A question without the options that stand in lines behind it."""
    lines = text.split("\n")
    starts = [n for n, line in enumerate(lines) if line.lstrip().startswith(("(A)", "A.", "A)"))]
    return "\n".join(lines[: starts[-1]]).rstrip() if starts and starts[-1] else text


def _task(row: dict[str, Any], path: Path, number: int) -> str:
    name = "question_type" if "question_type" in row else "task_type"
    given = column(row, name, path, number, str)
    task = task_called(given)
    if task is None:
        known = {*DEV_FILES, *CHOICE["test"]}
        raise unknown_name(f"{name} in row {number} of '{path}'", given, known)
    return task


def _question(
    row: dict[str, Any], path: Path, number: int, task: str, name: str, *, letters: bool = False
) -> Question:
    """A row of any layout; its columns are checked."""
    candidates = () if task in WRITING else _candidates(row, path, number)
    answer = row.get("answer")
    title = "video" if "video" in row else "video_name"
    video = column(row, title, path, number, str)
    if answer not in (None, ""):
        answer = str(column(row, "answer", path, number, (str, int)))
        is_letter = letters and answer in tuple(LETTERS[: len(candidates)])
        answer = answer if is_letter else _answer(answer, candidates)
    return Question(
        id=name,
        task=task,
        video=plain_name(video, title, f"row {number} of '{path}'"),
        text=column(row, "question", path, number, str),
        candidates=candidates,
        answer=answer or None,
        seconds=positive(row.get("duration")),
        scoring_points=_points(row, path, number) if task == SUB_SCENE else (),
    )


def _candidates(row: dict[str, Any], path: Path, number: int) -> tuple[str, ...]:
    given = column(row, "candidates", path, number, list)
    if not 2 <= len(given) <= len(LETTERS):
        raise UsageError(
            f"Row {number} of '{path}' has {len(given)} candidates; 2 to {len(LETTERS)} are "
            "possible."
        )
    return tuple(str(one) for one in given)


def _points(row: dict[str, Any], path: Path, number: int) -> tuple[str, ...]:
    if row.get("scoring_points") is None:
        return ()
    return tuple(str(one) for one in column(row, "scoring_points", path, number, list))


def _answer(text: str, candidates: Sequence[str]) -> str:
    """The letter of the right candidate, or the text of what should be written.

    A text that is none of the candidates stays as it is, and no letter is right then: so the
    official script has it. Of two equal candidates it takes the last.
    """
    places = [n for n, one in enumerate(candidates) if one == text]
    return LETTERS[places[-1]] if places else text
