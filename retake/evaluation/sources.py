"""Which content each video has, so that no answers about two videos go under one name."""

from pathlib import Path

from retake.core.errors import RunFolderError
from retake.evaluation.records import RunRecords


class Sources:
    """The hash of every video that was watched, in one run or in all of a sweep."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, Path]] = {}

    def add_run(self, run: RunRecords) -> None:
        """Take in what a run has watched.

        Raises:
            RunFolderError: a video has another content than it had for another run.
        """
        for each in run.videos:
            if each.source is not None:
                self.add(each.video, each.source.sha256, run.folder)

    def add(self, video: str, sha256: str, folder: Path) -> None:
        """Take in one video, watched for the run in `folder`.

        Raises:
            RunFolderError: it is not what it was at an earlier pass.
        """
        before, where = self._known.setdefault(video, (sha256, folder))
        if before != sha256:
            raise RunFolderError(
                f"The video '{video}' is not the one that earlier answers of '{where}' are "
                "about: its content has changed.",
                hint="Put the old one back, or start anew in another folder.",
            )
