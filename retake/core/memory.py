"""What watching leaves behind, and what asking returns."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from retake.core.arena import ArenaCache
    from retake.core.frames import VideoInfo


@attrs.frozen
class StageCost:
    """What one stage cost.

    Attributes:
        seconds: wall-clock time.
        peak_bytes: highest memory of the device while it ran, None where unknown.
        host_peak_bytes: highest resident memory of the process while it ran, None where unknown;
            on the CPU the two are the same.
        background_seconds: work done beside the others meanwhile: decoding runs ahead in a thread
            and `seconds` is only the time that was spent waiting for it.
    """

    name: str
    seconds: float
    peak_bytes: int | None = None
    host_peak_bytes: int | None = None
    background_seconds: float | None = None


@attrs.frozen
class Frames:
    """Which frames of the video were looked at.

    Attributes:
        indices: their numbers in the video.
        timestamps: their times in seconds.
        size: height and width in pixels to which they were resized.
        asked_fps: frames per second of video asked for; None: no rate was asked.
        achieved_fps: what sampling gave.
        capped_by: why fewer were sampled than the rate asks for, or None.
        unreadable: frames that could not be decoded, as (index, seconds, reason).
        notes: what the reader has to say, such as why it was chosen.
    """

    indices: tuple[int, ...] = attrs.field(repr=lambda v: f"{len(v)} frames")
    timestamps: tuple[float, ...] = attrs.field(repr=False)
    size: tuple[int, int]
    asked_fps: float | None = None
    achieved_fps: float = 0.0
    capped_by: str | None = None
    unreadable: tuple[tuple[int, float, str], ...] = ()
    notes: tuple[str, ...] = ()


@attrs.frozen
class Compression:
    """What was asked of the compression, and what came out.

    Attributes:
        steps, tokens_per_step: the video as the vision encoder saw it.
        steps_dropped: steps fewer once selected.
        tokens_seen: visual tokens of the whole video.
        tokens_selected: those that entered the language model.
        tokens_kept: those left in each layer's cache; where its heads hold different ones, the
            mean over heads.
        pivots: selected tokens that are pivots.
        pivots_kept: pivots left, in each layer.
        text_tokens: tokens of the prompt in front of the video, and those that close it.
        reserved: tokens set aside for the question.
        budget: tokens asked for, or None; where layers share it, that of an average one.
        keep_ratio: fraction asked for, or None.
        kv_bytes_full: KV bytes had nothing been selected or evicted.
        kv_bytes: KV bytes of the pairs in the memory.
        kv_bytes_reserved: bytes of the buffers that hold them, with room for a chunk, a
            question and an answer.
        notes: what was unexpected of the video's length, and how the budget was kept.
    """

    steps: int
    steps_dropped: int
    tokens_per_step: int
    tokens_seen: int
    tokens_selected: int
    tokens_kept: tuple[int, ...]
    pivots: int
    pivots_kept: tuple[int, ...]
    text_tokens: int
    reserved: int
    budget: int | None
    keep_ratio: float | None
    kv_bytes_full: int
    kv_bytes: int
    kv_bytes_reserved: int
    notes: tuple[str, ...] = ()

    @property
    def achieved_ratio(self) -> float:
        """Visual tokens kept over visual tokens selected, the mean over layers."""
        return sum(self.tokens_kept) / len(self.tokens_kept) / self.tokens_selected


@attrs.frozen
class Source:
    """Which video was watched, so that it can be told from others.

    Attributes:
        path: as it was given.
        bytes: its size; of a folder of pictures, that of all of them.
        sha256: of its content.
    """

    path: str
    bytes: int
    sha256: str


@attrs.frozen(eq=False)
class VideoMemory:
    """A watched video: the compressed cache, which any number of questions may read.

    Asking never changes it.

    Attributes:
        cache: the language model's cache after the video.
        next_position: the position the model itself would give the first token of text
            after the video, had nothing been evicted.
        kept: for each layer, int64 numbers of the selected tokens that were kept, as NumPy
            arrays; where its heads differ, of those that any of them kept.
        video: what is known of the file; None when frames came from elsewhere.
        frames: which frames were looked at.
        compression: asked and achieved.
        costs: time and memory of each stage.
        config: the whole resolved configuration.
        source: the video's size and hash; None where they were not taken.
        question: the only one that it answers, where what was kept depends on it; else None.
    """

    cache: "ArenaCache" = attrs.field(repr=lambda c: f"{c.mean_length()} pairs × {len(c.layers)}")
    next_position: int
    kept: tuple[Any, ...] = attrs.field(repr=False)
    compression: Compression
    frames: Frames | None = None
    video: "VideoInfo | None" = None
    costs: tuple[StageCost, ...] = ()
    config: dict[str, Any] = attrs.field(factory=dict, repr=False)
    source: Source | None = None
    question: str | None = None

    def save(self, path: str | Path) -> Path:
        """Write the memory to one file, from which `retake.load_memory` makes it again.

        The file appears whole or not at all. An older memory at `path` is replaced; any other
        file there is refused.

        Raises:
            UsageError: `path` is no place to write a memory at, or the memory is of a kind that
                no file holds: made for one question, or with heads that hold different pairs.
            MemoryFileError: the system refuses to write it, such as with a full disk.
        """
        from retake.core.memory_file import save_memory

        return save_memory(self, path)


@attrs.frozen(eq=False)
class Answer:
    """An answer, and all that is needed to obtain it again.

    Attributes:
        text: the answer, special tokens left out.
        question: as asked.
        token_ids: the generated tokens.
        prompt_tokens: tokens of text behind the video.
        cache_tokens: pairs in each layer once the question was prefilled.
        first_token_seconds: time to the first token (TTFT), counted from the question.
        token_seconds: time per further token (TPOT); None with fewer than two.
        over_budget: tokens by which an average layer exceeds the budget once the question is in;
            more than zero only where the question is longer than what was reserved for it.
        memory: what it was asked of.
        alternatives: further sequences, where several were asked for.
        generation: all settings of `transformers` that it was decoded with.
        seed: of sampling.
        cost: time and peak memory of answering.
    """

    text: str
    question: str
    token_ids: tuple[int, ...]
    prompt_tokens: int
    cache_tokens: tuple[int, ...]
    first_token_seconds: float
    token_seconds: float | None
    over_budget: int
    memory: VideoMemory = attrs.field(repr=False)
    alternatives: tuple[str, ...] = ()
    generation: dict[str, Any] = attrs.field(factory=dict, repr=False)
    seed: int = 0
    cost: StageCost | None = attrs.field(default=None, repr=False)

    def __str__(self) -> str:
        return self.text
