"""Answering requests: those about one video together, wherever in the list they stand.

The idea: lmms-eval hands over all requests of its tasks at once. A video is watched once for
all of its questions, or, where a selector or compressor looks at the question, encoded once and
watched for each. What is the same is asked once: padding of lmms-eval, repeats that draw nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import attrs

from retake.core.errors import VideoError
from retake.core.memory import Answer, VideoMemory
from retake.integrations.lmms_eval.arguments import OnBadVideo
from retake.integrations.lmms_eval.decoding import Decoding
from retake.video_model import VideoModel


@attrs.frozen
class Request:
    """A question about a video, and how it is answered.

    Attributes:
        repeat: which time it is asked, from 0: drawn answers differ from one to the next.
    """

    video: str
    question: str
    decoding: Decoding
    repeat: int = 0

    @property
    def draw(self) -> int:
        """What is added to the seed."""
        return self.repeat if self.decoding.samples else 0

    @property
    def way(self) -> tuple[str, int]:
        """The same for requests that are answered alike."""
        return self.decoding.key, self.draw


@attrs.frozen
class Answered:
    """An answer as the task gets it, and how many tokens were generated for it."""

    text: str
    tokens: int


class Answering:
    """Answers requests with one model.

    Args:
        model: with its parts.
        batch: questions of a video that are asked at a time.
        on_bad_video: as in `Arguments`.
        warn: told what a person should know, once each.
        done: told how many requests were answered just now.
    """

    def __init__(
        self,
        model: VideoModel,
        *,
        batch: int = 1,
        on_bad_video: OnBadVideo = "error",
        warn: Callable[[str], None] = lambda message: None,
        done: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._model = model
        self._batch = batch
        self._on_bad_video = on_bad_video
        self._warn = warn
        self._done = done
        #: How often a video was watched.
        self.watched = 0

    def answers(self, requests: Sequence[Request]) -> list[Answered]:
        """The answers, in the order of the requests.

        Raises:
            VideoError: a video cannot be read, and `on_bad_video` is "error".
            UsageError: the budget leaves a video no tokens, or a setting is wrong.
        """
        videos: dict[str, list[int]] = {}
        for place, request in enumerate(requests):
            videos.setdefault(request.video, []).append(place)
        answers: dict[int, Answered] = {}
        for video, places in videos.items():
            some = [requests[place] for place in places]
            answers.update(zip(places, self._about(video, some), strict=True))
            self._done(len(places))
        return [answers[place] for place in range(len(requests))]

    def _about(self, video: str, requests: Sequence[Request]) -> list[Answered]:
        """Answers to requests about one video."""
        try:
            return list(self._asked(video, requests))
        except VideoError as error:
            if self._on_bad_video == "error":
                raise
            self._warn(f"Empty answers to {len(requests)} requests: {error}")
            return [Answered("", 0)] * len(requests)

    def _asked(self, video: str, requests: Sequence[Request]) -> Iterator[Answered]:
        questions = list(dict.fromkeys(request.question for request in requests))
        ways = {request.way: request for request in requests}
        found: dict[tuple[str, tuple[str, int]], Answer] = {}
        for memory, some in self._memories(video, questions):
            for way, like in ways.items():
                wanted = {request.question for request in requests if request.way == way}
                asked = [question for question in some if question in wanted]
                for answer in self._ask(memory, asked, like):
                    found[answer.question, way] = answer
        for request in requests:
            answer = found[request.question, request.way]
            yield Answered(request.decoding.cut(answer.text), len(answer.token_ids))

    def _memories(
        self, video: str, questions: Sequence[str]
    ) -> Iterable[tuple[VideoMemory, Sequence[str]]]:
        """What was kept of the video, and which questions it answers."""
        if not self._model.needs_question:
            self.watched += 1
            yield self._model.watch(video, questions=questions), questions
            return
        encoded = self._model.encode(video)
        for question in questions:
            self.watched += 1
            yield self._model.watch(encoded, questions=[question]), [question]

    def _ask(self, memory: VideoMemory, questions: Sequence[str], like: Request) -> list[Answer]:
        """Ask questions in the way of a request."""
        if not questions:
            return []
        model = self._model
        if like.draw:
            model = model.with_parts(seed=model.config.seed + like.draw)
        answers = model.ask_many(questions, memory, batch=self._batch, **like.decoding.options)
        for answer in answers:
            if answer.over_budget:
                self._warn(
                    f"A question of {answer.prompt_tokens} tokens takes {answer.over_budget} more "
                    "than the budget leaves; set a larger 'reserve'."
                )
        return answers
