"""Peak memory of this process on the host, whatever device it computes on."""

import platform
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def reset_peak_resident() -> None:
    """Start a new measurement; only Linux can, elsewhere the peak is of the whole process."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return  # the high-water mark then covers the whole process, as documented


def peak_resident() -> int | None:
    """Bytes of the largest resident set since the last reset; None where the system keeps none.

    Processes that this one started are not in it.
    """
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if platform.system() == "Windows":
        return None
    import resource  # not there on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024
