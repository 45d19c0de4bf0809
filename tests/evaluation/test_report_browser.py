"""Pages in a real browser, on a phone and on a desk, by day and by night."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from retake.evaluation.report import build, to_html
from tests.evaluation.browser import Browser, check_page, find
from tests.evaluation.pretend import Method, write_run, write_sweep

PIVOTKV = Method("dpselect", "pivotkv", 0.1)
NASTY = "<img src=https://example.com/x onerror=alert(1)> " + "long" * 40


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of each sort, with many methods and with a name that is as bad as can be."""
    folder = tmp_path_factory.mktemp("pages")
    rivals = [Method("dpselect", f"rival-{number}", number / 20) for number in range(1, 20)]
    few = {"lengths": (64.0, 128.0), "seeds": 1}
    runs = [
        write_run(folder / "run", PIVOTKV, 0.25),
        write_run(folder / "nasty", Method(NASTY, NASTY), 0.25, name=NASTY, notes=(NASTY,)),
        write_run(folder / "begun", PIVOTKV, 0.25, answered=4),
    ]
    swept = write_sweep(folder / "sweep", [PIVOTKV, *rivals], (1.0, 0.25, 0.125), **few)
    given = {
        "run": [runs[0]],
        "comparison": runs[:2],
        "begun": [runs[2]],
        "sweep": [swept],
    }
    made = {}
    for name, folders in given.items():
        made[name] = folder / f"{name}.html"
        made[name].write_text(to_html(build(folders)))
    return made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests of this file."""
    with Browser(find()) as started:
        yield started


@pytest.mark.parametrize("name", ["run", "comparison", "begun", "sweep"])
@pytest.mark.parametrize("width", [375, 1280])
def test_page_fits_and_loads_nothing(
    browser: Browser, pages: dict[str, Path], name: str, width: int
) -> None:
    """Nothing is wider than the screen, clipped, on top of another, or asked of the network."""
    check_page(browser, pages[name], width=width, dark=False)


def test_night_is_dark(browser: Browser, pages: dict[str, Path]) -> None:
    """Paper and ink change places with the reader's colour scheme; nothing else moves."""
    seen: dict[bool, Any] = {}
    for dark in (False, True):
        check_page(browser, pages["run"], width=375, dark=dark)
        style = "getComputedStyle(document.body)"
        seen[dark] = browser.value(f"[{style}.backgroundColor, {style}.color]")
    assert _lightness(seen[False][0]) > 240 > 100 > _lightness(seen[False][1])
    assert _lightness(seen[True][0]) < 40 < 200 < _lightness(seen[True][1])


def _lightness(colour: str) -> float:
    parts = [float(each) for each in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    return sum(parts) / 3


def test_a_method_is_singled_out_in_every_chart(browser: Browser, pages: dict[str, Path]) -> None:
    """Ticked in the legend, its lines stay, and all others fade; unticked, all are as before."""
    browser.open(pages["sweep"], width=1280)
    number = browser.value("document.querySelectorAll('.pick')[15].id.replace('pick-', '')")
    drawn = "[...document.querySelectorAll('.picked .series')]"
    shown = (
        f"{drawn}.map(each => [each.classList.contains('s{number}'), "
        "+getComputedStyle(each).opacity])"
    )
    before = browser.value(shown)
    browser.value(f"document.getElementById('pick-{number}').click()")
    picked = browser.value(shown)
    assert {opacity for own, opacity in picked if own} == {1}
    assert max(opacity for own, opacity in picked if not own) < 0.2
    # Samples in legends, and panels whose lines are lengths, are not concerned.
    others = "[...document.querySelectorAll('.legend .series, .small:not(.picked) .series')]"
    assert set(browser.value(f"{others}.map(each => +getComputedStyle(each).opacity)")) == {1}
    browser.value("document.querySelector('.legend button').click()")
    assert browser.value(shown) == before


def test_printed_page_is_whole(browser: Browser, pages: dict[str, Path]) -> None:
    """On paper nothing is to be pressed, all is unfolded, and tables are not cut off."""
    browser.open(pages["run"], width=720)
    browser.call("Emulation.setEmulatedMedia", media="print")
    hidden = "getComputedStyle(document.querySelector('nav')).display"
    assert browser.value(hidden) == "none"
    overflow = "getComputedStyle(document.querySelector('.scroll')).overflowX"
    assert browser.value(overflow) == "visible"
    assert browser.value("document.querySelector('details td').getBoundingClientRect().height") > 0
    assert browser.value("document.documentElement.scrollWidth") <= 720
    browser.call("Emulation.setEmulatedMedia", media="")
