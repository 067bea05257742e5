"""Takes the README's picture from a finished run of the main job: python -m docs.screenshots."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from PIL import Image

from tests.browser import Browser, find_program

PICTURE = Path("docs/images/report.png")
REPORT = Path("runs/mnist/report.html")


def main() -> None:
    """Save the report's first screen with as many colours as it needs to look the same."""
    program = find_program()
    assert program is not None, "install Chromium"
    with tempfile.TemporaryDirectory() as folder, Browser(program, Path(folder)) as browser:
        browser.resize(1280, 640)
        browser.open(REPORT.absolute().as_uri())
        shown = Image.open(io.BytesIO(browser.screenshot()))
    shown.convert("RGB").quantize(128).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
