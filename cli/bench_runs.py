"""What `retake bench` does: warm up and count, measure the machine, time variants in turn."""

import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
from torch import nn

from retake import api, loading
from retake.core.config import RunConfig
from retake.core.frames import VideoInfo
from retake.core.memory import Answer, Compression, Frames, StageCost, VideoMemory
from retake.datasets.scenes import make_clip
from retake.measure import Bandwidth, Counted, MatmulRate, counting, matmul_rate, read_bandwidth
from retake.video_model import VideoModel

from .console import Told

# Of the synthetic video: what is usually sampled, so that every frame of it is used.
_SYNTHETIC_FPS = 2.0
_SYNTHETIC_SIDE = 448


@attrs.frozen
class Variant:
    """One thing to measure: how it is called, and its configuration."""

    label: str
    config: RunConfig


@attrs.frozen
class Work:
    """Operations, counted in the run that warms up.

    Attributes:
        watch: of watching.
        first: of the question, up to the first token.
        further: of each pass for a further token.
        uncounted_weights: share of the model's matrices that no formula covers.
    """

    watch: Counted
    first: Counted
    further: tuple[Counted, ...]
    uncounted_weights: float

    @property
    def wait(self) -> int:
        """From the video to the first token."""
        return self.watch.total() + self.first.total()

    @property
    def token(self) -> float | None:
        """Of a further token, the mean; None where there was none."""
        each = [counted.total() for counted in self.further]
        return sum(each) / len(each) if each else None

    def of_stage(self, name: str) -> int | None:
        """Of a stage, as run reports name them; None for one in which no model computes."""
        if name == "encode":
            return self.watch.total("encoder")
        if name == "prefill":
            return self.watch.total("language", "head")
        if name == "answer":
            return Counted.added([self.first, *self.further]).total()
        return None


@attrs.frozen
class Timed:
    """One timed run.

    Attributes:
        watch_seconds: from the video given to the memory ready.
        first_token_seconds: from the question to the answer's first token.
        token_seconds: a further token, the mean; None where there was none.
        stages: those of watching, and "answer".
    """

    watch_seconds: float
    first_token_seconds: float
    token_seconds: float | None
    stages: tuple[StageCost, ...]

    @property
    def wait_seconds(self) -> float:
        """From the video given to the first token of the first answer."""
        return self.watch_seconds + self.first_token_seconds


@attrs.frozen
class Facts:
    """What a run saw, kept and said, without the cache itself.

    Attributes:
        token_bytes: weights and cache that a further token has to read.
    """

    compression: Compression
    frames: Frames | None
    video: VideoInfo | None
    prompt_tokens: int
    generated_tokens: int
    over_budget: int
    answer: str
    token_bytes: int


@attrs.frozen(eq=False)
class Measured:
    """All that was measured of a variant; `facts` are those of its last run."""

    variant: Variant
    model: VideoModel
    work: Work
    runs: tuple[Timed, ...]
    facts: Facts


@attrs.frozen(eq=False)
class Bench:
    """What a bench came to: the variants, and what the machine could do at best."""

    video: str
    question: str
    variants: tuple[Measured, ...]
    rate: MatmulRate
    bandwidth: Bandwidth


@contextmanager
def synthetic(frames: int, config: RunConfig, told: Told) -> Iterator[Path]:
    """A scene video of so many frames, as large as they are sampled; gone afterwards."""
    side = config.video.long_side or _SYNTHETIC_SIDE
    with TemporaryDirectory(prefix="retake-bench-") as folder:
        path = Path(folder) / "synthetic.mp4"
        make_clip(
            path,
            seconds=frames / _SYNTHETIC_FPS,
            seed=config.seed,
            fps=_SYNTHETIC_FPS,
            size=max(32, side + side % 2),
            progress=lambda done: told("draw", round(done * frames), frames),
        )
        yield path


def load(variants: Sequence[Variant]) -> list[VideoModel]:
    """A model for each variant; the weights are loaded once."""
    configs = [api.resolve(variant.config) for variant in variants]
    first = api.from_config(configs[0])
    return [
        VideoModel(
            first.adapter,
            first.backend,
            loading.make_selector(config.selector)[0],
            loading.make_compressor(config.compressor)[0],
            attrs.evolve(config, model=first.config.model),
        )
        for config in configs
    ]


def measure(
    variants: Sequence[Variant],
    models: Sequence[VideoModel],
    video: Path,
    *,
    name: str,
    question: str,
    repeat: int,
    told: Told,
) -> Bench:
    """Run every variant once to warm up and count, and `repeat` times to time it."""
    steps = len(models) * (repeat + 1) + 1
    works = []
    for number, model in enumerate(models):
        told("bench", number, steps)
        works.append(_count(model, video, question))
    told("bench", len(models), steps)
    backend, dtype = models[0].backend, models[0].adapter.dtype
    rate, bandwidth = matmul_rate(backend, dtype), read_bandwidth(backend)
    runs: list[list[Timed]] = [[] for _ in models]
    facts: list[Facts | None] = [None] * len(models)
    for turn in range(repeat):
        for place in range(len(models)):
            # Another one goes first each time, so that none always follows the same one.
            number = (turn + place) % len(models)
            told("bench", len(models) + 1 + turn * len(models) + place, steps)
            timed, facts[number] = _time(models[number], video, question)
            runs[number].append(timed)
    told("bench", steps, steps)
    return Bench(
        video=name,
        question=question,
        variants=tuple(
            Measured(variant, model, work, tuple(timed), known)
            for variant, model, work, timed, known in zip(
                variants, models, works, runs, facts, strict=True
            )
            if known is not None
        ),
        rate=rate,
        bandwidth=bandwidth,
    )


def _again(model: VideoModel, backend: object = None) -> VideoModel:
    """The same model anew: the video that it watched last is forgotten with it."""
    return VideoModel(
        model.adapter,
        model.backend if backend is None else backend,  # type: ignore[arg-type]
        model.selector,
        model.compressor,
        model.config,
    )


def _count(model: VideoModel, video: Path, question: str) -> Work:
    with counting(model.adapter, model.backend) as (tally, backend):
        counted = _again(model, backend)
        memory = counted.watch(video, questions=[question])
        watch = Counted.added(tally.take())
        counted.ask(question, memory)
        _, first, *further = tally.take()
        return Work(watch, first, tuple(further), tally.uncounted_weights)


def _time(model: VideoModel, video: Path, question: str) -> tuple[Timed, Facts]:
    gc.collect()
    fresh = _again(model)
    start = time.perf_counter()
    memory = fresh.watch(video, questions=[question])
    watched = time.perf_counter() - start
    answer = fresh.ask(question, memory)
    stages = (*memory.costs, *([answer.cost] if answer.cost is not None else []))
    timed = Timed(watched, answer.first_token_seconds, answer.token_seconds, stages)
    return timed, _facts(model, memory, answer)


def _facts(model: VideoModel, memory: VideoMemory, answer: Answer) -> Facts:
    return Facts(
        compression=memory.compression,
        frames=memory.frames,
        video=memory.video,
        prompt_tokens=answer.prompt_tokens,
        generated_tokens=len(answer.token_ids),
        over_budget=answer.over_budget,
        answer=answer.text,
        token_bytes=_weight_bytes(model) + memory.compression.kv_bytes,
    )


def _weight_bytes(model: VideoModel) -> int:
    """Bytes of the weights that every further token multiplies: the language model and its head."""
    modules = [*model.adapter.language_model().modules()]
    modules.append(model.adapter.model.get_output_embeddings())
    weights = {
        id(weight): weight.nbytes
        for module in modules
        if isinstance(module, nn.Module) and not isinstance(module, nn.Embedding)
        for weight in module.parameters(recurse=False)
    }
    return sum(weights.values())
