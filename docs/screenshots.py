"""Takes the pictures of README and docs from a finished run of the main job: python -m docs.screenshots."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from PIL import Image

from tests.browser import Browser, find_program

# by picture: the newest page of this name, keys that are pressed on it, the window's height in pixels
PICTURES = {
    "report.png": ("runs/mnist/report.html", "", 640),
    "labelling.png": ("runs/mnist/suggest-40-*/label.html", "82", 800),
}


def main() -> None:
    """Save the first screen of each page with as many colours as it needs to look the same."""
    program = find_program()
    assert program is not None, "install Chromium"
    with tempfile.TemporaryDirectory() as folder, Browser(program, Path(folder)) as browser:
        for name, (pattern, keys, height) in PICTURES.items():
            page = max(Path.cwd().glob(pattern), key=lambda path: path.stat().st_mtime)
            browser.resize(1280, height)
            browser.open(page.as_uri())
            for key in keys:
                browser.press(key)
            shown = Image.open(io.BytesIO(browser.screenshot()))
            shown.convert("RGB").quantize(192).save(Path("docs/images", name), optimize=True)


if __name__ == "__main__":
    main()
