"""The work behind `retake eval`: in this process, or by workers.

Importing this module imports torch.
"""

from pathlib import Path

import attrs

from retake.core import config as options
from retake.core.benchmark import Benchmark, Sample
from retake.core.config import RunConfig
from retake.evaluation.folder import RunFolder, check_header
from retake.evaluation.locking import FolderLock
from retake.evaluation.matching import is_settled
from retake.evaluation.records import RunHeader, RunRecords, is_run, read_answered, read_run
from retake.evaluation.running import Run, by_video, chosen, evaluate, header_of
from retake.evaluation.scale.coordinator import Coordinator
from retake.evaluation.scale.launchers.launcher import Launcher
from retake.evaluation.scale.messages import About, Task
from retake.loading import make_compressor, make_selector
from retake.video_model import VideoModel

from . import steps
from .evaluation_progress import Shown
from .workers import Crew


@attrs.frozen
class Evaluation:
    """One session of a run.

    Attributes:
        folder: of the run.
        benchmark: its name, and itself.
        config: as asked.
        resolved: with all that is known without a model.
        limit, batch, watch_each: as in `RunHeader`.
        resume: go on with what is there.
        fail_fast: end at the first video that fails.
    """

    folder: Path
    benchmark: tuple[str, Benchmark]
    config: RunConfig
    resolved: RunConfig
    limit: int | None
    batch: int
    watch_each: bool
    resume: bool
    fail_fast: bool

    def run(self, crew: Crew, shown: Shown) -> RunRecords:
        """Begin the run or go on with it, and answer what is pending."""
        self.benchmark[1].make(shown.making)
        samples = chosen(self.benchmark[1], self.limit)
        # Before a model of many gigabytes is loaded for nothing.
        check_header(self.folder, self._header(samples, self.resolved))
        left = samples
        if is_run(self.folder):
            with FolderLock(self.folder):  # held by another process, it is refused now
                pass
            answered = read_answered(self.folder)
            if len(answered) >= len(samples):
                found = read_run(self.folder)
                if is_settled(found, self.resolved.model.path):
                    return found
            left = [sample for sample in samples if sample.id not in answered]
        launcher = crew.launch(len(by_video(left)), of=len(by_video(samples)))
        try:
            if launcher is None:
                self._alone(samples, shown)
            else:
                self._with(launcher, samples, crew.hang_timeout, shown)
        except KeyboardInterrupt:
            shown.interrupted()
            raise
        return read_run(self.folder)

    def _header(
        self, samples: list[Sample], config: RunConfig, model: VideoModel | None = None
    ) -> RunHeader:
        return header_of(
            self.folder,
            self.benchmark,
            samples,
            config,
            model,
            limit=self.limit,
            batch=self.batch,
            watch_each=self.watch_each,
        )

    def _alone(self, samples: list[Sample], shown: Shown) -> None:
        """In this process."""
        model, _ = steps.load(self.config, shown.told)
        header = self._header(samples, model.config, model)
        with RunFolder(self.folder, header, resume=self.resume) as kept:
            shown.begin(kept, resume=self.resume)
            self._note_batch(shown, needs_question=model.needs_question)
            run = Run(
                kept,
                self.benchmark[1],
                fail_fast=self.fail_fast,
                on_sample=shown.sample,
                on_failure=shown.failure,
            )
            evaluate(run, model, samples, shown.told)

    def _with(
        self, launcher: Launcher, samples: list[Sample], hang_timeout: float, shown: Shown
    ) -> None:
        """By workers, of which the first to come decides what was left to be decided."""

        def open_folder(about: About) -> RunFolder:
            config = options.structure(RunConfig, about.config, "key of the configuration")
            header = attrs.evolve(
                self._header(samples, config), device=about.device, fingerprint=about.fingerprint
            )
            kept = RunFolder(self.folder, header, resume=self.resume)
            shown.begin(kept, resume=self.resume)
            self._note_batch(shown, needs_question=_needs_question(config))
            return kept

        Coordinator(
            Task.of(
                self.config,
                self.benchmark,
                batch=self.batch,
                watch_each=self.watch_each,
                folder=str(Path.cwd()),
            ),
            samples,
            launcher,
            open_folder,
            shown,
            hang_timeout=hang_timeout,
            fail_fast=self.fail_fast,
        ).run()

    def _note_batch(self, shown: Shown, *, needs_question: bool) -> None:
        if self.batch > 1 and needs_question:
            shown.say("Note: --batch changes nothing, as a video is watched for each question.")


def _needs_question(config: RunConfig) -> bool:
    selector, compressor = make_selector(config.selector)[0], make_compressor(config.compressor)[0]
    return selector.needs_question or compressor.needs_question
