"""A real browser without a driver: Chromium, spoken to over a pipe in its own DevTools protocol."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


def find_program() -> str | None:
    """The browser's path, if there is one."""
    return next((path for path in map(shutil.which, PROGRAMS) if path), None)


class Browser:
    """One page of a headless browser, to be used in a with statement.

    Attributes:
        said: Errors, warnings and messages of the page so far.
        requested: Addresses that it asked for so far, data URIs left out.
    """

    def __init__(self, program: str, profile: Path) -> None:
        self.said: list[str] = []
        self.requested: list[str] = []
        self._events: list[dict[str, Any]] = []
        self._session: dict[str, str] = {}
        self._last = 0
        (its_in, our_out), (our_in, its_out) = os.pipe(), os.pipe()
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (its_in, its_out)]  # not 3 or 4 themselves

        def connect() -> None:
            os.dup2(ends[0], 3)  # where the protocol is spoken
            os.dup2(ends[1], 4)

        self._process = subprocess.Popen(
            [program, *OPTIONS, f"--user-data-dir={profile}", "about:blank"],
            stderr=subprocess.DEVNULL,
            preexec_fn=connect,
            close_fds=False,
        )
        for end in (its_in, its_out, *ends):
            os.close(end)
        self._out, self._in = os.fdopen(our_out, "wb", buffering=0), os.fdopen(our_in, "rb")
        self._buffer = b""

    def __enter__(self) -> Self:
        self.forget()
        return self

    def forget(self) -> None:
        """Go on in a new tab of a new visitor: nothing is stored, nothing was said or requested."""
        self._session = {}
        visitor = self.send("Target.createBrowserContext")["browserContextId"]
        target = self.send("Target.createTarget", url="about:blank", browserContextId=visitor)["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._session = {"sessionId": session}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.said.clear()
        self.requested.clear()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._out.close()
        self._in.close()

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask for something and return the answer."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters, **self._session}
        self._out.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._last:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            chunk = os.read(self._in.fileno(), 1 << 20)
            assert chunk, "the browser has ended"
            self._buffer += chunk
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        self._note(message)
        return message

    def _note(self, message: dict[str, Any]) -> None:
        parameters = message.get("params", {})
        match message.get("method"):
            case "Runtime.exceptionThrown" | "Runtime.consoleAPICalled" | "Log.entryAdded":
                self.said.append(json.dumps(parameters))
            case "Network.requestWillBeSent" if not parameters["request"]["url"].startswith("data:"):
                self.requested.append(parameters["request"]["url"])
            case "Page.loadEventFired":
                self._loaded = True

    def open(self, address: str) -> None:
        """Go to an address and wait until everything on it is loaded."""
        self._load("Page.navigate", url=address)

    def reload(self) -> None:
        """Load the page again in the same tab, as a person does."""
        self._load("Page.reload")

    def _load(self, method: str, **parameters: Any) -> None:
        self._loaded = False
        self.send(method, **parameters)
        while not self._loaded:
            self._read()

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def resize(self, width: int, height: int, scale: float = 1, dark: bool = False) -> None:
        """Show the page in a window of that many CSS pixels; up to 600 wide, as a phone does."""
        phone = width <= 600
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=phone
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def move(self, x: float, y: float) -> None:
        """Point with the mouse at a place in the window, in CSS pixels."""
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def click(self, selector: str) -> None:
        """Click on the middle of an element, after it was scrolled into view."""
        x, y = self.middle(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def middle(self, selector: str) -> tuple[float, float]:
        """Where an element is in the window, after it was scrolled into view and the page has come to rest."""
        x, y = self.evaluate(
            f"""(async () => {{ const element = document.querySelector({json.dumps(selector)});
            for (let before = null, tries = 0; ; tries++) {{
              element.scrollIntoView({{block: "center", behavior: "instant"}});
              const box = element.getBoundingClientRect(), now = [box.x + box.width / 2, box.y + box.height / 2];
              if (tries > 100 || String(now) === String(before)) return now;
              before = now;
              await new Promise((resolve) => setTimeout(resolve, 20));
            }} }})()"""
        )
        return x, y

    def press(self, key: str) -> None:
        """Press and release a key, named as in a KeyboardEvent."""
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def screenshot(self, whole: bool = False) -> bytes:
        """What is in the window, or the whole page, as a PNG file."""
        return base64.b64decode(self.send("Page.captureScreenshot", captureBeyondViewport=whole)["data"])

    def pdf(self) -> bytes:
        """The page as it is printed."""
        return base64.b64decode(self.send("Page.printToPDF", preferCSSPageSize=True, printBackground=False)["data"])
