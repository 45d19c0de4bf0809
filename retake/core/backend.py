"""What is particular to a device: how it attends, and how its memory and time are measured."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Literal

import attrs
import torch
from torch import Tensor

from retake.core import attention


@attrs.frozen
class Backend(ABC):
    """One kind of device.

    A subclass says which `torch` device it is; attention in portable operators and no-op
    memory counters are inherited, and overridden where the device has something better.

    Attributes:
        kernel: "sdpa" attends through torch's fused kernels, "eager" through plain matrix
            products in float32 (slow, and what the other is tested against).
    """

    name: ClassVar[str] = ""
    #: Whether the device computes in the host's own memory, so that there is one peak, not two.
    on_host: ClassVar[bool] = False
    #: The environment variable that says which devices of the kind a process sees, if there is one.
    visible: ClassVar[str] = ""
    kernel: Literal["sdpa", "eager"] = "sdpa"

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """The device on which models and caches are placed."""

    @property
    def default_dtype(self) -> torch.dtype:
        """What models compute in where nobody says."""
        return torch.float32 if self.on_host else torch.bfloat16

    @classmethod
    def unavailable(cls) -> str | None:
        """Why this backend cannot be used on this machine, or None where it can."""
        return None

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor, scaling: float) -> Tensor:
        """Causal attention of the newest tokens over all of them.

        The last query sees every key, the one before it all but the last (bottom-right
        causal), whatever was evicted before; no `Q × L` mask is built.

        Args:
            queries: `[B, H, Q, D]`, rotated.
            keys, values: `[B, KV, L, D]`, L ≥ Q, the last Q of them belonging to the queries.
            scaling: factor of the logits, usually D^-0.5.

        Returns:
            `[B, H, Q, D]`.
        """
        if self.kernel == "eager":
            return attention.attend_eager(queries, keys, values, scaling)
        return attention.attend_sdpa(queries, keys, values, scaling)

    def attention_mass(self, queries: Tensor, keys: Tensor, scaling: float) -> Tensor:
        """The softmax weight each key receives, summed over queries, averaged over heads.

        Not causal: every query is weighed against every key. The mean over keys is 1.

        Args:
            queries: `[H, Q, D]`.
            keys: `[KV, Q, D]`; a group of H / KV query heads shares a key head.
            scaling: factor of the logits.

        Returns:
            float32 `[Q]`.
        """
        return attention.attention_mass(queries, keys, scaling)

    def random_devices(self) -> list[int]:
        """Numbers of the devices of this kind, each of which has a random state of its own."""
        return []

    @contextmanager
    def seeded(self, seed: int) -> Iterator[None]:
        """Run the block with random numbers that start at a seed; the state before comes back."""
        devices = self.random_devices()
        # Seeding reaches every device of the kind, so each must be put back.
        with torch.random.fork_rng(devices=devices, device_type=self.device.type):
            torch.manual_seed(seed)
            yield

    def reset_peak_memory(self) -> None:  # noqa: B027 - a device may have no counter
        """Start a new measurement of peak memory."""

    def peak_memory(self) -> int | None:
        """Bytes at the highest point since the last reset; None where the device cannot tell."""
        return None

    def synchronize(self) -> None:  # noqa: B027 - most devices queue nothing
        """Wait until work queued on the device is done, so that clocks tell the truth."""

    def describe(self) -> str:
        """The device and its attention in a few words, for reports."""
        return f"{self.device} ({self.kernel} attention)"
