"""Numbers as people read them: a figure, a thin unit."""


def memory(count: int | None) -> str:
    """Bytes: "12.3 MiB"."""
    if count is None:
        return "–"
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def seconds(value: float) -> str:
    """Time a computation takes: "43 ms", "4.31 s", "2 min 05 s"."""
    if value < 0.9995:
        return f"{value * 1000:.0f} ms" if value >= 0.00095 else "<1 ms"
    if value < 99.5:
        return f"{value:.2f} s" if value < 9.995 else f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s"


def duration(value: float) -> str:
    """Time that a run takes: "40 s", "12 min", "7 h 10 min", "2 d 3 h"."""
    if value < 59.5:
        return f"{value:.0f} s"
    minutes = round(value / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    return f"{hours // 24} d {hours % 24} h"


def length(value: float) -> str:
    """Length of a video: "0:40", "1:02:03"; short ones keep a decimal."""
    if value < 10:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def percent(part: float, whole: float) -> str:
    """A share: "25 %", with a decimal where it is small."""
    if not whole:
        return "–"
    share = 100 * part / whole
    return f"{share:.0f} %" if share >= 9.95 or share == 0 else f"{share:.1f} %"


def count(value: float) -> str:
    """A number with thousands apart: "12,345"; a mean keeps one decimal."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def rate(value: float) -> str:
    """A rate without trailing zeros: "2", "0.57"."""
    return f"{value:.3g}"
