"""Takes the README's pictures from finished runs of the main job: python -m docs.screenshots."""

from __future__ import annotations

import html
import io
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.browser import Browser, find_program

IMAGES = Path("docs/images")
REPORT = Path("runs/mnist/report.html")
COMMAND = "compare --config configs/mnist.yaml"
TERMINAL = """<style>body { margin: 0; background: #1b1c1f } pre { margin: 0; padding: 18px 22px; width: max-content;
color: #e4e4e7; font: 14px/1.45 "DejaVu Sans Mono", monospace } b { color: #6cb6ea; font-weight: 400 }</style>"""


def keep(name: str, png: bytes) -> None:
    """Save a screenshot with as many colours as it needs to look the same."""
    Image.open(io.BytesIO(png)).convert("RGB").quantize(128).save(IMAGES / f"{name}.png", optimize=True)


def main() -> None:
    """Take them all."""
    program = find_program()
    assert program is not None, "install Chromium"
    printed = subprocess.run(
        [sys.executable, "-m", "pipeline", *COMMAND.split()], check=True, capture_output=True, text=True
    ).stdout
    with tempfile.TemporaryDirectory() as folder, Browser(program, Path(folder)) as browser:
        page = Path(folder) / "terminal.html"
        page.write_text(f"{TERMINAL}<pre><b>$ make compare</b>\n{html.escape(printed)}</pre>")
        browser.open(page.as_uri())
        browser.resize(
            *browser.evaluate("[0, 1].map((i) => document.querySelector('pre')[['offsetWidth', 'offsetHeight'][i]])")
        )
        keep("terminal", browser.screenshot())
        browser.resize(1280, 640)
        browser.open(REPORT.absolute().as_uri())
        keep("report", browser.screenshot())
        browser.resize(1280, 820)
        x, y = browser.middle(".plane")
        browser.evaluate("document.querySelector('nav').remove()")
        browser.move(x + 40, y + 60)
        keep("map", browser.screenshot())


if __name__ == "__main__":
    main()
