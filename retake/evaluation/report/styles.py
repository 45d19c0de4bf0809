"""How each method looks in every chart: a colour, a dash and a marker, no two methods alike.

The colours are apart for every kind of colour vision, and dash and marker tell methods apart
without any colour at all. Which colour a number stands for is said in the style sheet, for
light and for dark.
"""

from collections.abc import Sequence

import attrs

COLOURS = 7  # as many as the style sheet has

_DASHES = ("", "6 3", "2 2.5", "8 3 2 3", "12 3")
# Drawn around (0, 0); open ones have no area to fill.
_MARKERS = (
    "M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0z",
    "M-3.2 -3.2h6.4v6.4h-6.4z",
    "M0 -4.2L4 3H-4z",
    "M0 -4.6L4.2 0L0 4.6L-4.2 0z",
    "M-3.4 -3.4L3.4 3.4M-3.4 3.4L3.4 -3.4",
    "M0 4.2L4 -3H-4z",
    "M0 -4.5V4.5M-4.5 0H4.5",
    "M0 -4.4L4.2 -1.4L2.6 3.6H-2.6L-4.2 -1.4z",
    "M-4 -2.2H4M-4 2.2H4",
)


@attrs.frozen
class Style:
    """How one series is drawn.

    Attributes:
        number: of the series on the page; its class in the document.
        name: as the legend has it.
        colour: number of the colour, or -1 for that of text.
        dash: lengths drawn and left out, "" for a whole line.
        marker: path around (0, 0); "" for none.
        quiet: drawn pale until it is picked in the legend.
    """

    number: int
    name: str
    colour: int
    dash: str
    marker: str
    quiet: bool = False


def styles(names: Sequence[str], *, reference: str | None = None) -> dict[str, Style]:
    """A style for each name, in their order; the reference is dashed and in the text's colour."""
    made: dict[str, Style] = {}
    turn = 0
    for number, name in enumerate(dict.fromkeys(names)):
        if name == reference:
            made[name] = Style(number, name, -1, "1 3", "")
            continue
        # 7 colours, 5 dashes and 9 markers have no common factor: all three repeat together
        # only after 315 methods.
        dash, marker = _DASHES[turn % len(_DASHES)], _MARKERS[turn % len(_MARKERS)]
        made[name] = Style(number, name, turn % COLOURS, dash, marker)
        turn += 1
    return made


def with_leaders(made: dict[str, Style], leaders: Sequence[str]) -> dict[str, Style]:
    """The same styles, those that are neither leaders nor the reference drawn pale."""
    loud = set(leaders)
    return {
        name: attrs.evolve(style, quiet=style.colour >= 0 and name not in loud)
        for name, style in made.items()
    }
