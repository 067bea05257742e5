"""One decoder: a picture is the same image in training and in predict, whatever kind of file it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from pipeline.config import DataConfig
from pipeline.datasets.decoding import Decoding, as_colour, decode, read_header
from pipeline.datasets.image_data import ImageData
from pipeline.datasets.loading import find_loader, load
from pipeline.datasets.new_images import Reading, open_images
from pipeline.errors import PipelineError

Pixels = npt.NDArray[np.uint8]

SIDE = 8
GREY: Pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE), np.uint8)
COLOUR: Pixels = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
SHAPE: Pixels = np.zeros((SIDE, SIDE), np.uint8)  # an alpha channel in which there is something to be seen
SHAPE[2:6, 3:5] = 255
GARBAGE = np.where(SHAPE[..., None] > 0, 40, COLOUR).astype(np.uint8)  # colours where nothing is to be seen


def rgba(colour: npt.NDArray[Any], alpha: Pixels = SHAPE) -> Image.Image:
    return Image.fromarray(np.dstack([np.broadcast_to(colour, (SIDE, SIDE, 3)), alpha]).astype(np.uint8))


def palette(colours: list[int]) -> Image.Image:
    image = Image.fromarray((SHAPE > 0).astype(np.uint8))
    image.putpalette(colours)
    return image


def decoded(path: Path, how: Decoding | None = None) -> Pixels:
    """The picture as it is read: its own shape, its own channels."""
    with Image.open(path) as picture:
        header = read_header(picture)
        shape = (1 if header.is_grey else 3, header.height, header.width)
        return decode(picture, shape, how or Decoding())


def saved(tmp_path: Path, image: Image.Image, name: str = "x.png", **options: Any) -> Path:
    image.save(tmp_path / name, **options)
    return tmp_path / name


# --- one rule a kind ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.tif", "x.webp"])
@pytest.mark.parametrize(("tag", "back"), [(3, Image.Transpose.ROTATE_180), (6, Image.Transpose.ROTATE_90)])
def test_pictures_are_turned_as_their_camera_says(name: str, tag: int, back: Image.Transpose, tmp_path: Path) -> None:
    bright = np.zeros((8, 16), np.uint8)
    bright[:, :8] = 240  # the left half
    exif = Image.Exif()
    exif[0x0112] = tag
    lying = Image.fromarray(bright).transpose(back)
    pixels = decoded(saved(tmp_path, lying.convert("RGB"), name, exif=exif, quality=95))
    assert pixels.shape == (3, 8, 16)
    assert pixels[:, :, :7].min() > 200
    assert pixels[:, :, 9:].max() < 40


@pytest.mark.parametrize(
    ("image", "on_white"),
    [
        (rgba(GARBAGE), np.where(SHAPE, 40, 255)),
        (rgba(np.zeros(3)), 255 - SHAPE),  # a shape that lies in the alpha channel alone
        (Image.fromarray(np.dstack([np.zeros_like(SHAPE), SHAPE]), "LA"), 255 - SHAPE),
        (rgba(np.zeros(3), np.full_like(SHAPE, 255)), 0 * SHAPE),  # nothing is transparent
        (rgba(np.full(3, 255)), SHAPE),  # white on white would not be seen: it is laid on black
        (rgba(np.full(3, 250)), np.where(SHAPE, 250, 0)),  # nor would this
        (rgba(np.zeros(3), SHAPE // 2), 255 - SHAPE // 2),
    ],
    ids=["garbage", "black ink", "grey ink", "opaque", "white ink", "pale ink", "half"],
)
@pytest.mark.parametrize("name", ["x.png", "x.webp", "x.tif"])
def test_transparent_pictures_are_laid_on_white(name: str, image: Image.Image, on_white: Any, tmp_path: Path) -> None:
    options: dict[str, Any] = {"lossless": True} if name == "x.webp" else {}
    pixels = decoded(saved(tmp_path, image, name, **options))
    assert np.abs(pixels.astype(int) - on_white).max() <= 1  # rounding


def test_a_transparent_colour_is_transparent(tmp_path: Path) -> None:
    black = decoded(saved(tmp_path, palette([0, 0, 0] * 256), "p.png", transparency=0))  # in a palette
    assert np.array_equal(black[0], 255 - SHAPE)
    gif = decoded(saved(tmp_path, palette([0, 0, 0] * 2), "p.gif", transparency=0))
    assert np.array_equal(gif[0], 255 - SHAPE)
    grey = decoded(saved(tmp_path, Image.fromarray(SHAPE // 2), "l.png", transparency=0))
    assert np.array_equal(grey[0], np.where(SHAPE, 127, 255))
    alphas = decoded(saved(tmp_path, palette([0, 0, 0] * 2), "a.png", transparency=bytes([0, 255])))
    assert np.array_equal(alphas[0], 255 - SHAPE)


def test_the_background_can_be_set(tmp_path: Path) -> None:
    path = saved(tmp_path, rgba(np.full(3, 255)))
    red = decode(Image.open(path), (3, SIDE, SIDE), Decoding(as_colour("red")))
    assert red[:, 0, 0].tolist() == [255, 0, 0]
    assert red[:, 3, 3].tolist() == [255, 255, 255]
    assert np.array_equal(decoded(path, Decoding(as_colour([0, 0, 0])))[0], SHAPE)
    assert decoded(path, Decoding(as_colour("white"))).min() == 255  # as its owner says
    for wrong in ("reddish", [1, 2], [0, 0, 256], 7):
        with pytest.raises(PipelineError, match=r"data\.args\.background: .* is no colour; expected a name such as"):
            as_colour(wrong)  # type: ignore[arg-type]


def test_palettes_are_grey_if_their_colours_are(tmp_path: Path) -> None:
    assert np.array_equal(decoded(saved(tmp_path, palette([9, 9, 9, 200, 200, 200])))[0], np.where(SHAPE, 200, 9))
    colour = decoded(saved(tmp_path, palette([9, 9, 9, 200, 100, 0])))
    assert colour[:, 3, 3].tolist() == [200, 100, 0]


def test_cmyk_becomes_colour(tmp_path: Path) -> None:
    pixels = decoded(saved(tmp_path, Image.new("RGB", (SIDE, SIDE), (200, 100, 0)).convert("CMYK"), "x.jpg"))
    assert np.abs(pixels[:, 3, 3].astype(int) - (200, 100, 0)).max() < 5


@pytest.mark.parametrize("name", ["x.png", "x.tif"])
def test_sixteen_bits_become_eight(name: str, tmp_path: Path) -> None:
    path = saved(tmp_path, Image.fromarray(GREY.astype(np.uint16) * 257), name)
    assert np.array_equal(decoded(path)[0], GREY)
    path = saved(tmp_path, Image.fromarray(GREY.astype(np.uint16) * 16), name)
    assert np.abs(decoded(path, Decoding(white=4080))[0].astype(int) - GREY).max() == 0


# --- the same in training and in predict ----------------------------------------------------------------------

KINDS: dict[str, Callable[[Path], Any]] = {
    "a.png": lambda path: Image.fromarray(GREY).save(path),
    "b.bmp": lambda path: Image.fromarray(COLOUR).save(path),
    "c.gif": lambda path: palette([9, 9, 9, 200, 100, 0]).save(path, transparency=0),
    "d.tif": lambda path: Image.fromarray(GREY.astype(np.uint16) * 257).save(path),
    "e.jpg": lambda path: Image.fromarray(COLOUR).convert("CMYK").save(path),
    "f.jpg": lambda path: Image.fromarray(COLOUR).save(path, "WEBP"),
    "g.webp": lambda path: rgba(GARBAGE).save(path),
    "h.png": lambda path: Image.fromarray(GREY > 127).save(path),
    "i.ppm": lambda path: Image.fromarray(COLOUR).save(path),
    "j.JPEG": lambda path: Image.fromarray(GREY).save(path),
}


def mixed(base: Path) -> Path:
    for number, (name, save) in enumerate(KINDS.items()):
        for copy in range(2):
            folder = base / ("cat", "dog")[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            save(folder / f"{copy}{name}")
    (base / "cat" / "notes.txt").write_text("no picture")
    (base / "cat" / "drawing.svg").write_text("<svg/>")
    return base


def everything(path: Path, **args: Any) -> ImageData:
    """All images before a test set is held out."""
    found = find_loader(DataConfig("folder", args={"path": str(path), **args}))()
    assert isinstance(found, ImageData)
    return found


def test_predict_reads_every_file_that_training_reads_as_the_same_image(tmp_path: Path) -> None:
    base = mixed(tmp_path / "pictures")
    data = everything(base)
    assert data.shape == (3, SIDE, SIDE)
    assert data.decoding is not None
    new = open_images(base, Reading(data.shape, data.scale, data.decoding))
    assert sorted(data.names) == list(new.names)
    order = [data.names.index(str(name)) for name in new.names]
    assert torch.equal(new.read(0, 7), data.images[order[:7]])
    assert torch.equal(new.read(7, 100), data.images[order[7:]])
    assert "2 files of other kinds were ignored: 1 .svg, 1 .txt" in new.notes
    assert any("2 files of other kinds were ignored" in note for note in data.notes)
    assert any("4 of 20 pictures can be transparent" in note for note in data.notes)
    assert any("2 of 20 pictures have 16 bits" in note for note in data.notes)


def test_predict_resizes_as_training_did_and_lays_on_the_same_colour(tmp_path: Path) -> None:
    base = mixed(tmp_path / "pictures")
    Image.fromarray(COLOUR).resize((30, 20)).save(base / "cat" / "large.png")
    data = everything(base, size=[9, 5], background="navy")
    assert data.decoding is not None
    new = open_images(base, Reading(data.shape, data.scale, Decoding.from_dict(asdict(data.decoding))))
    order = [data.names.index(str(name)) for name in new.names]
    assert torch.equal(new.read(0, 100), data.images[order])
    with pytest.raises(PipelineError, match=r"large\.png is 20 x 30 pixels of 3 channels, the classifier takes 8 x 8"):
        open_images(base, Reading((3, 8, 8)))


def test_pictures_of_a_set_that_is_grey_stay_grey_and_colour_is_refused(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "colour.png")
    with pytest.raises(
        PipelineError, match="8 x 8 pixels of 3 channels, the classifier takes 8 x 8 pixels of 1 channel"
    ):
        open_images(tmp_path, Reading((1, 8, 8)))
    assert open_images(tmp_path, Reading((1, 8, 8), resize=True)).read(0, 1).shape == (1, 1, 8, 8)


# --- arrays, rows and tables in predict -----------------------------------------------------------------------


def test_arrays_are_taken_in_every_layout_that_training_takes(tmp_path: Path) -> None:
    images = np.stack([COLOUR, COLOUR[::-1]])
    expected = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    layouts = {
        "last": images,
        "first": images.transpose(0, 3, 1, 2),
        "rows": images.transpose(0, 3, 1, 2).reshape(2, -1),
        "floats": images / 255,
    }
    for name, array in layouts.items():
        np.save(tmp_path / f"{name}.npy", array)
        assert torch.equal(open_images(tmp_path / f"{name}.npy", Reading((3, SIDE, SIDE))).read(0, 2), expected), name
    np.save(tmp_path / "truth.npy", images[..., :1] > 127)
    truth = open_images(tmp_path / "truth.npy", Reading((1, SIDE, SIDE)))
    assert set(truth.read(0, 2).flatten().tolist()) == {0, 255}
    assert truth.notes == ["pixels 0 to 1, taken as 0 to 1 by white: 1"]


def test_a_table_of_pixels_is_taken_with_labels_and_without(tmp_path: Path) -> None:
    rows = np.stack([GREY, GREY.T]).reshape(2, -1)
    expected = torch.from_numpy(rows.reshape(2, 1, SIDE, SIDE))
    names = ",".join(f"pixel{number}" for number in range(rows.shape[1]))
    for header, column in (("id,", ["17", "4"]), ("label,", ["1", "0"]), ("", [])):
        lines = [",".join([*column[number : number + 1], *map(str, row)]) for number, row in enumerate(rows)]
        (tmp_path / "x.csv").write_text("\n".join([header + names, *lines]) + "\n")
        found = open_images(tmp_path / "x.csv", Reading((1, SIDE, SIDE)))
        assert torch.equal(found.read(0, 2), expected)
        assert list(found.names) == (["17", "4"] if header == "id," else ["0", "1"])
        assert any("labels" in note for note in found.notes) == (header == "label,")


def test_a_table_of_files_is_taken(tmp_path: Path) -> None:
    mixed(tmp_path / "pictures")
    (tmp_path / "x.csv").write_text("file,label\npictures/dog/0b.bmp,dog\npictures/cat/0a.png,\n")
    found = open_images(tmp_path / "x.csv", Reading((3, SIDE, SIDE)))
    assert list(found.names) == ["pictures/dog/0b.bmp", "pictures/cat/0a.png"]
    assert torch.equal(found.read(0, 1)[0], torch.from_numpy(COLOUR.transpose(2, 0, 1).copy()))


# --- broken pictures ------------------------------------------------------------------------------------------


def spoilt(base: Path, broken: int) -> Path:
    """Ten sound pictures of each of two classes, and so many broken ones, in every way."""
    for label in ("cat", "dog"):
        (base / label).mkdir(parents=True)
        for number in range(10):
            Image.fromarray(np.roll(GREY, number + 10 * (label == "dog"))).save(base / label / f"{number}.png")
    whole = (base / "cat" / "0.png").read_bytes()
    for number in range(broken):
        content = (b"no picture", whole[:50], b"")[number % 3]
        (base / "cat" / f"broken{number:02}.png").write_bytes(content)
    return base


@pytest.mark.parametrize("streaming", ["never", "always"])
def test_broken_pictures_are_named_all_at_once_or_left_out(streaming: Any, tmp_path: Path) -> None:
    base = spoilt(tmp_path / "x", 23)
    with pytest.raises(PipelineError) as caught:
        load(DataConfig("folder", str(tmp_path), {"path": str(base)}, streaming))
    message = str(caught.value)
    assert message.startswith("23 of 43 files cannot be read as a picture; repair them, remove them, or leave them out")
    assert "data.args.skip_broken true" in message
    assert message.count("/broken") == 20
    assert "broken00.png: its content is none of PNG, JPEG" in message
    assert message.endswith("and 3 more")
    dataset = load(DataConfig("folder", str(tmp_path), {"path": str(base), "skip_broken": True}, streaming))
    sound = load(DataConfig("folder", args={"path": str(spoilt(tmp_path / "sound", 0))}))
    assert dataset.sha256 == sound.sha256
    assert dataset.train.names == sound.train.names
    assert "23 pictures that cannot be read were left out: " in dataset.train.notes[0]


def test_predict_names_them_all_or_leaves_them_out(tmp_path: Path) -> None:
    base = spoilt(tmp_path / "x", 4)
    for folder in (base, base / "cat"):
        with pytest.raises(
            PipelineError, match=r"(?s)4 of \d+ files cannot be read.*--skip-broken true.*broken03\.png"
        ):
            open_images(folder, Reading((1, SIDE, SIDE))).read(0, 50)
    found = open_images(base, Reading((1, SIDE, SIDE), skip_broken=True))
    assert len(found.names) == len(found.read(0, 50)) == 20
    assert found.notes[0].startswith("4 pictures that cannot be read were left out: ")
    (tmp_path / "one.png").write_bytes(b"")
    with pytest.raises(PipelineError, match=r"one\.png cannot be read as a picture: its content"):
        open_images(tmp_path / "one.png", Reading((1, SIDE, SIDE), skip_broken=True))


def test_a_class_of_broken_pictures_alone_is_refused_whatever_is_skipped(tmp_path: Path) -> None:
    base = spoilt(tmp_path / "x", 0)
    for path in (base / "cat").iterdir():
        path.write_bytes(b"")
    with pytest.raises(PipelineError, match=r"expected|cannot be read"):
        load(DataConfig("folder", args={"path": str(base), "skip_broken": True}))
