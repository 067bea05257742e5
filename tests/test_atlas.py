"""The report's small images: each is found in the one file where the page is told to look for it."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from pipeline.report.atlas import VALUES, Atlas, room, thumbnails


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 20), (3, 32, 32), (3, 96, 64), (2, 8, 8)])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_every_tile_lies_where_its_place_says(shape: tuple[int, int, int], count: int) -> None:
    images = np.random.default_rng(0).integers(256, size=(count, *shape), dtype=np.uint8)
    tiles = thumbnails(images)
    assert max(tiles.shape[1:3]) <= 32
    assert tiles.mean() == pytest.approx(images.mean(), abs=2)
    atlas = Atlas(tiles)
    content = base64.b64decode(atlas.uri.partition("base64,")[2])
    sheet = np.asarray(Image.open(io.BytesIO(content)))
    height, width = tiles.shape[1:3]
    for number in range(count):
        # what background-position means: that share of what the sheet is larger than the tile
        x, y = (float(share.rstrip("%")) / 100 for share in atlas.place(number).split())
        left, top = round(x * (sheet.shape[1] - width)), round(y * (sheet.shape[0] - height))
        assert np.array_equal(sheet[top : top + height, left : left + width], tiles[number])


def test_an_atlas_is_bounded_whatever_the_images_are() -> None:
    assert room((1, 28, 28)) >= 2000
    for shape in ((3, 32, 32), (3, 96, 96), (1, 8, 8), (5, 64, 64)):
        assert room(shape) * thumbnails(np.zeros((1, *shape), dtype=np.uint8)).size <= VALUES
