"""Visual tokens, and what a selector makes of them."""

import attrs
import torch
from torch import Tensor


def shape_of(value: Tensor) -> str:
    """A tensor as `repr` shows it: dtype and shape, never contents."""
    return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


@attrs.frozen(eq=False)
class VisualTokens:
    """The vision encoder's view of a video: one row of tokens a temporal step.

    Attributes:
        features: `[T, N, C]`, as they enter the language model.
        timestamps: float64 `[T]`, seconds; when each step starts.
        grid: rows and columns of tokens in a step; their product is N.
        relevance: float32 `[T]`, how well each step fits the question, by the selector's
            frame–text scorer; None where it has none.
    """

    features: Tensor = attrs.field(repr=shape_of)
    timestamps: Tensor = attrs.field(repr=shape_of)
    grid: tuple[int, int]
    relevance: Tensor | None = attrs.field(default=None, repr=lambda r: r and shape_of(r))

    def __attrs_post_init__(self) -> None:
        _check(
            self.features.ndim == 3,
            f"features must be [T, N, C], got {list(self.features.shape)}",
        )
        steps, patches, _ = self.features.shape
        _check(steps > 0 and patches > 0, f"a video needs tokens, got {steps} × {patches}")
        _check(
            list(self.timestamps.shape) == [steps],
            f"timestamps must be [{steps}], got {list(self.timestamps.shape)}",
        )
        _check(
            bool((self.timestamps.diff() >= 0).all()),
            "timestamps must not descend",
        )
        _check(
            self.relevance is None or list(self.relevance.shape) == [steps],
            f"relevance must be [{steps}], one value a step",
        )
        _check(min(self.grid) > 0, f"a grid has rows and columns, got {self.grid}")
        _check(
            self.grid[0] * self.grid[1] == patches,
            f"a grid of {self.grid} holds {self.grid[0] * self.grid[1]} tokens, not {patches}",
        )

    @property
    def steps(self) -> int:
        return int(self.features.shape[0])

    @property
    def patches(self) -> int:
        return int(self.features.shape[1])

    def part(self, start: int, stop: int) -> "VisualTokens":
        """Steps `start` to `stop` of these; a view."""
        cut = slice(start, stop)
        fits = None if self.relevance is None else self.relevance[cut]
        return VisualTokens(self.features[cut], self.timestamps[cut], self.grid, fits)

    def followed_by(self, later: "VisualTokens") -> "VisualTokens":
        """These steps and those after them, as one."""
        return VisualTokens(
            torch.cat((self.features, later.features)),
            torch.cat((self.timestamps, later.timestamps)),
            self.grid,
            None
            if self.relevance is None or later.relevance is None
            else torch.cat((self.relevance, later.relevance)),
        )


@attrs.frozen(eq=False)
class Selection:
    """The tokens that enter the language model, in the order in which they enter.

    Attributes:
        features: `[K, C]`.
        rows: int64 `[K]`, ascending; the temporal step a token counts as in the language
            model. A selector that keeps different steps for different patches packs them
            into common rows.
        steps: int64 `[K]`; the step of the video each token came from (for a merged token,
            the earliest of those merged).
        patches: int64 `[K]`; its place within the step's grid, 0 … N-1.
        pivots: bool `[K]`; keyframe tokens, which compressors keep first.
        source: how many steps and patches a step the video had before selection.
        first: number of the first of these tokens among all that are selected; above 0 for a
            later part of a video that streams, whose rows and steps also count on.
    """

    features: Tensor = attrs.field(repr=shape_of)
    rows: Tensor = attrs.field(repr=shape_of)
    steps: Tensor = attrs.field(repr=shape_of)
    patches: Tensor = attrs.field(repr=shape_of)
    pivots: Tensor = attrs.field(repr=lambda p: f"{int(p.sum())} of {p.numel()}")
    source: tuple[int, int]
    first: int = 0

    def __attrs_post_init__(self) -> None:
        _check(
            self.features.ndim == 2,
            f"features must be [K, C], got {list(self.features.shape)}",
        )
        count = self.features.shape[0]
        for name in ("rows", "steps", "patches", "pivots"):
            shape = list(getattr(self, name).shape)
            _check(shape == [count], f"{name} must be [{count}], got {shape}")
        _check(self.pivots.dtype == torch.bool, f"pivots must be bool, got {self.pivots.dtype}")
        limits = {"rows": None, "steps": self.source[0], "patches": self.source[1]}
        for name, limit in limits.items():
            values = getattr(self, name)
            _check(values.dtype == torch.int64, f"{name} must be int64, got {values.dtype}")
            if not count:
                continue
            _check(int(values.min()) >= 0, f"{name} must not be negative")
            _check(
                limit is None or int(values.max()) < limit,
                f"{name} go up to {int(values.max())}, but the video has {limit}",
            )
        _check(bool((self.rows.diff() >= 0).all()), "rows must not descend")

    def __len__(self) -> int:
        return int(self.features.shape[0])

    @property
    def row_count(self) -> int:
        return int(self.rows[-1]) + 1 if len(self) else 0

    def part(self, start: int, stop: int) -> "Selection":
        """Tokens `start` to `stop` of these; a view."""
        cut = slice(start, stop)
        return Selection(
            features=self.features[cut],
            rows=self.rows[cut],
            steps=self.steps[cut],
            patches=self.patches[cut],
            pivots=self.pivots[cut],
            source=self.source,
            first=self.first + start,
        )

    @classmethod
    def joined(cls, parts: "list[Selection]") -> "Selection":
        """Parts that follow each other, as one."""
        if len(parts) == 1:
            return parts[0]
        joined = {
            name: torch.cat([getattr(part, name) for part in parts])
            for name in ("features", "rows", "steps", "patches", "pivots")
        }
        return cls(**joined, source=parts[-1].source, first=parts[0].first)

    @classmethod
    def of_rows(
        cls, features: Tensor, steps: Tensor, pivots: Tensor | None, source: VisualTokens
    ) -> "Selection":
        """A selection that keeps the same number of steps for every patch.

        Args:
            features: `[R, N, C]`.
            steps: int64 `[R, N]`, the source step of each token.
            pivots: bool `[R, N]`, or None where there are none.
            source: the tokens selected from.
        """
        rows, patches, width = features.shape
        device = features.device
        flags = torch.zeros(rows, patches, dtype=torch.bool) if pivots is None else pivots
        return cls(
            features=features.reshape(rows * patches, width),
            rows=torch.arange(rows, device=device).repeat_interleave(patches),
            steps=steps.to(device).reshape(-1),
            patches=torch.arange(patches, device=device).repeat(rows),
            pivots=flags.to(device).reshape(-1),
            source=(source.steps, source.patches),
        )

    @classmethod
    def gather(
        cls, tokens: VisualTokens, steps: Tensor, pivots: Tensor | None = None
    ) -> "Selection":
        """Keep given steps: `steps` is int64 `[R]` for whole steps, `[R, N]` for patches."""
        if steps.ndim == 1:
            steps = steps[:, None].expand(-1, tokens.patches)
        if pivots is not None and pivots.ndim == 1:
            pivots = pivots[:, None].expand(-1, tokens.patches)
        index = steps.to(tokens.features.device)
        chosen = tokens.features.gather(
            0, index[:, :, None].expand(-1, -1, tokens.features.shape[2])
        )
        return cls.of_rows(chosen, index, pivots, tokens)
