"""What training says while it runs."""

import time


class Progress:
    """Prints a line now and then: phase, step, running loss and share right, seconds so far."""

    def __init__(self, every: int = 50, quiet: bool = False) -> None:
        self.every, self.quiet = every, quiet
        self.began = time.monotonic()
        self._sums: dict[str, list[float]] = {}

    def log(self, phase: str, step: int, steps: int, loss: float, right: float) -> None:
        """Adds one step; prints when a round number of them is reached."""
        sums = self._sums.setdefault(phase, [0.0, 0.0, 0.0])
        for index, value in enumerate((loss, right, 1.0)):
            sums[index] += value
        if (step + 1) % self.every == 0 or step + 1 == steps:
            loss, right, count = self._sums.pop(phase)
            self.say(
                f"{phase} {step + 1}/{steps}: loss {loss / count:.3f} right {right / count:.3f}"
            )

    def say(self, text: str) -> None:
        """Prints a line with the seconds since the start."""
        if not self.quiet:
            print(f"[{time.monotonic() - self.began:6.0f} s] {text}", flush=True)
