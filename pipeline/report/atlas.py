"""Many small images in one PNG file, each to be shown by its place in it."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipeline.report.drawing import data_uri

Pixels = npt.NDArray[np.uint8]

SIDE = 32  # pixels that a thumbnail's longer side has at most
VALUES = 2_000 * 28 * 28 + 600_000  # pixels times channels of an atlas; 2,000 MNIST images and some more make 0.8 MB


def thumbnails(images: Pixels) -> Pixels:
    """Reduce large images, shape (N, C, H, W): to (N, h, w) if they are grey, to (N, h, w, 3) if in colour.

    Of other numbers of channels than one and three, their mean is shown.
    """
    images = np.moveaxis(images, 1, -1) if images.shape[1] == 3 else images.mean(1).astype(np.uint8)
    step = -(-max(images.shape[1:3]) // SIDE)
    if step == 1:
        return images
    height, width = images.shape[1] // step, images.shape[2] // step
    cut = images[:, : height * step, : width * step].astype(np.float32)
    blocks = cut.reshape(len(images), height, step, width, step, *images.shape[3:])
    return np.asarray(blocks.mean((2, 4))).astype(np.uint8)


def room(shape: tuple[int, int, int]) -> int:
    """Return how many images of shape (C, H, W) an atlas has room for."""
    return VALUES // thumbnails(np.zeros((1, *shape), dtype=np.uint8)).size


class Atlas:
    """Images in a square of tiles.

    Attributes:
        columns: Tiles a row.
        rows: Rows of tiles.
        ratio: Width of a tile over its height.
        count: Tiles that hold an image.
    """

    def __init__(self, tiles: Pixels) -> None:
        """Take tiles of shape (N, h, w) or (N, h, w, 3)."""
        self.columns = max(1, int(np.ceil(np.sqrt(len(tiles)))))
        self.rows = max(1, -(-len(tiles) // self.columns))
        self.ratio = tiles.shape[2] / tiles.shape[1]
        self.count = len(tiles)
        self._tiles = tiles

    @property
    def uri(self) -> str:
        """The PNG file as an address that holds it."""
        return data_uri(self.png)

    @property
    def png(self) -> bytes:
        """The PNG file; where tiles are missing to a full square, it is black."""
        missing = self.columns * self.rows - self.count
        padded = np.concatenate([self._tiles, np.zeros((missing, *self._tiles.shape[1:]), dtype=np.uint8)])
        lines = padded.reshape(self.rows, self.columns, *padded.shape[1:]).swapaxes(1, 2)
        sheet = lines.reshape(self.rows * padded.shape[1], self.columns * padded.shape[2], *padded.shape[3:])
        content = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(sheet)).save(content, format="png", optimize=True)
        return content.getvalue()

    def place(self, tile: int) -> str:
        """Return where a tile lies, as a style sheet's background-position."""
        return " ".join(
            f"{round(100 * step / (count - 1), 3) if count > 1 else 0:g}%"
            for step, count in ((tile % self.columns, self.columns), (tile // self.columns, self.rows))
        )
