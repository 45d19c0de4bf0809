"""A headless Chromium under test, spoken to over its debugging pipe: no driver is needed."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def find() -> str:
    """The browser's program; the test is skipped where there is none."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None or shutil.which("bash") is None:
        pytest.skip("no Chromium is installed to open pages in (Debian: apt-get install chromium)")
    return found


class Browser:
    """One browser with one page; a context manager."""

    def __init__(self, program: str) -> None:
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        into, self._out = os.pipe()
        self._in, out = os.pipe()
        # The browser reads from descriptor 3 and writes to 4.
        started = f'exec "$@" 3<&{into} 4>&{out}'
        flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--remote-debugging-pipe",
            f"--user-data-dir={self._profile.name}",
        ]
        self._process = subprocess.Popen(
            ["bash", "-c", started, "bash", program, *flags, "about:blank"],
            pass_fds=(into, out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(into)
        os.close(out)
        self._held = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []
        self._session: str | None = None
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(each for each in targets if each["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        os.close(self._out)
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        self._profile.cleanup()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the DevTools protocol, and what it returns."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            got = self._next()
            if got.get("id") == self._number:
                assert "error" not in got, got["error"]
                result: dict[str, Any] = got["result"]
                return result
            self.events.append(got)

    def open(self, path: Path, *, width: int, dark: bool = False) -> None:
        """Show a file in a window of that width, by day or by night."""
        scheme = "dark" if dark else "light"
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=800,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)
        self.events.clear()
        self.call("Page.navigate", url=path.resolve().as_uri())
        while not any(each.get("method") == "Page.loadEventFired" for each in self.events):
            self.events.append(self._next())

    def value(self, expression: str) -> Any:
        """What a JavaScript expression comes to in the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def picture(self, path: Path) -> None:
        """The whole page as a PNG."""
        height = min(16000, self.value("document.documentElement.scrollHeight"))
        width = self.value("innerWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        data = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def complaints(self) -> list[str]:
        """Errors and warnings of the console since the page was opened."""
        found = [each for each in self.events if each.get("method") in _COMPLAINTS]
        return [json.dumps(each["params"]) for each in found]

    def requests(self) -> list[str]:
        """The addresses asked for since the page was opened; data within the page is none."""
        urls = (
            each["params"]["request"]["url"]
            for each in self.events
            if each.get("method") == "Network.requestWillBeSent"
        )
        return [url for url in urls if not url.startswith("data:")]

    def _next(self) -> dict[str, Any]:
        """The next message of the browser."""
        while b"\0" not in self._held:
            got = os.read(self._in, 2**16)
            assert got, "the browser ended"
            self._held += got
        raw, _, self._held = self._held.partition(b"\0")
        message: dict[str, Any] = json.loads(raw)
        return message


def check_page(browser: Browser, page: Path, *, width: int, dark: bool) -> None:
    """Open a page, unfold everything, and refuse what is too wide, clipped, or asked for."""
    browser.open(page, width=width, dark=dark)
    assert browser.value("document.querySelectorAll('h1').length") == 1
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value(_SPOILT) == []
    # Once more: now everything is unfolded.
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.complaints() == []
    assert browser.requests() == [page.resolve().as_uri()]


_COMPLAINTS = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
# Of drawings, all opened: letters that leave their drawing, and letters on letters.
_SPOILT = """(() => {
  document.querySelectorAll('details').forEach(each => { each.open = true; });
  const found = [];
  for (const svg of document.querySelectorAll('svg')) {
    const box = svg.getBoundingClientRect();
    if (!box.width) continue;
    const texts = [...svg.querySelectorAll('text')].map(
      each => [each.getBoundingClientRect(), each.textContent]);
    texts.forEach(([a, text], at) => {
      if (a.left < box.left - 1 || a.right > box.right + 1 || a.bottom > box.bottom + 1)
        found.push(['clipped', text]);
      for (const [b, other] of texts.slice(at + 1))
        if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 2
            && b.top < a.bottom - 2) found.push([text, other]);
    });
  }
  return found.slice(0, 5);
})()"""
