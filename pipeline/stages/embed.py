"""Stage embed: the latents of any images as NumPy array and CSV, and the images that lie nearest to a given picture."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import numpy.typing as npt

from pipeline.artefacts import classifier, data_card, data_source, encoder
from pipeline.artefacts.cell_files import source_names
from pipeline.artefacts.classifier import ClassifierChoice, ReadingOptions
from pipeline.artefacts.description import reading
from pipeline.config import Experiment
from pipeline.datasets.new_images import KINDS, NewImages, Reading, open_images
from pipeline.errors import PipelineError
from pipeline.store import disk, test_access
from pipeline.store.outputs import check_target

if TYPE_CHECKING:
    import torch
    from torch import nn

TRAIN, TEST = "train", "test"  # what the option images calls the experiment's own
LATENTS, TABLE, PAGE = "latents.npy", "latents.csv", "like.html"
PRETRAINED = "pretrained"  # stands for the name of a cell
SHOWN = 24  # nearest neighbours on the page

Latents = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Options(ReadingOptions):
    """The options of the command, beside those that say how images are read and which classifier is meant."""

    images: Annotated[str, f"{TRAIN} or {TEST}, the experiment's own; or {KINDS}"] = TRAIN
    like: Annotated[str, "a picture whose nearest neighbours among the images are shown as a page"] = ""
    out: Annotated[str, "folder to write to; empty: runs/<name>/embeddings/<images>-<encoder>/"] = ""


def run(config: Experiment, options: Options) -> Path:
    """Embed all images, write their latents, and return the folder of the files.

    They are ``latents.npy``, float32 of shape (N, features); ``latents.csv``, with the name or number of each image
    before its latents; and, where a picture is named by ``like``, ``like.html``, a page of its nearest neighbours.

    Raises:
        PipelineError: If the encoder is missing or changed, or the images are missing, broken, or of another shape, or
            ``out`` holds files of these names that are read or that this command has not written.
    """
    images, like = options.images, options.like
    if options.out:
        inputs = [*(Path(named) for named in (images, like) if named), *data_source.named(config)]
        for name in (LATENTS, TABLE, *([PAGE] if like else [])):
            check_target(Path(options.out, name), inputs, _is_own, "a file of latents")
    used = _find_encoder(config, options)
    how = options.applied_to(used.reading)
    picture = _read_like(like, how) if like else None
    source = _open(config, images, how, used)
    default = used.home / "embeddings" / f"{Path(images).resolve().name}-{used.name}"
    target = Path(options.out) if options.out else default
    latents = _embed(config, used, source, images)
    _write(target, source, latents)
    if picture is not None:
        nearest = _write_page(target, used, source, latents, Path(like).name, picture)
        print(f"nearest to {like}: {nearest}\n  and others: {target / PAGE}")
    print("".join(f"  remark: {note}\n" for note in source.notes), end="")
    return target


# --- which encoder, which images ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Encoder:
    """The encoder that is meant.

    Attributes:
        backbone: Images to standardised latents, in eval mode.
        reading: The way in which the images of its training were read.
        fingerprint: The fingerprint of the cell or of the pretraining that it comes from.
        name: The name of the cell's folder, or "pretrained".
        home: The folder of the experiment that it belongs to.
    """

    backbone: nn.Module
    reading: Reading
    fingerprint: str
    name: str
    home: Path


def _find_encoder(config: Experiment, choice: ClassifierChoice) -> _Encoder:
    """Return the encoder of the classifier that the user has named, or the pretrained one if none is named."""
    if choice.is_made:
        folder = classifier.find(config, choice)
        description = classifier.describe(folder)
        backbone, name = classifier.restore(config, folder, description).backbone, folder.resolve().name
        how = reading(description["input"])
        return _Encoder(backbone, how, description["fingerprint"], name, classifier.home(folder))
    encoder.check(config)
    how = reading(data_card.load(config))
    backbone = encoder.restore_backbone(config, how.shape)
    return _Encoder(backbone, how, encoder.artefact(config).fingerprint, PRETRAINED, config.folder)


def _open(config: Experiment, images: str, how: Reading, used: _Encoder) -> NewImages:
    """Return the images that are meant. Whoever asks for the test images is written down."""
    if images not in (TRAIN, TEST):
        return open_images(Path(images), how)
    dataset = data_card.load_dataset(config)
    part = dataset.train if images == TRAIN else dataset.test
    if part.shape != how.shape:
        raise PipelineError(
            f"images: those of {config.data.dataset} are {part.shape} (channels, height, width), the encoder takes "
            f"{how.shape}; name images that it takes"
        )
    if not len(part):
        raise PipelineError(f"images: {config.data.dataset} has no {images} images; name others")
    if images == TEST:
        test_access.log(config.folder, f"embed/{used.name}", used.fingerprint, dataset.sha256)
    return NewImages("name", source_names(part, range(len(part))), lambda start, stop: part.images[start:stop], [])


def _read_like(like: str, how: Reading) -> torch.Tensor:
    """Read the picture whose neighbours are wanted, shape (1, C, H, W)."""
    try:
        wanted = open_images(Path(like), replace(how, skip_broken=False))
        if len(wanted.names) != 1:
            raise PipelineError(f"{like} holds {len(wanted.names)} images; name a single picture")
        return wanted.read(0, 1)
    except PipelineError as error:
        raise PipelineError(f"like: {str(error).removeprefix('images: ')}") from error


def _is_own(path: Path) -> bool:
    """Return whether a file comes from this command, which its table beside it shows."""
    with contextlib.suppress(OSError, ValueError), (path.parent / TABLE).open(encoding="utf-8") as file:
        return file.readline(1000).split(",")[1:2] in (["z0"], ["z0\n"])
    return False


# --- latents and their files ----------------------------------------------------------------------------------


def _embed(config: Experiment, used: _Encoder, source: NewImages, images: str) -> Latents:
    """Return the latents of all images, shape (N, features); those that pretraining has computed are read."""
    import torch
    from tqdm import tqdm

    from pipeline.models.inputs import CHUNK, infer
    from pipeline.training.device import threads

    if images == TRAIN and used.name == PRETRAINED:
        return encoder.load(config).embeddings.numpy()
    total, parts = len(source.names), []
    bar = tqdm(total=total, desc="embed", unit="image", disable=not config.runtime.progress or None)
    with bar, threads(config.runtime.threads):
        for start in range(0, total, CHUNK):
            parts.append(infer(used.backbone, source.read(start, start + CHUNK)))
            bar.update(len(parts[-1]))
    latents: Latents = torch.cat(parts).numpy()
    return latents


def _write(folder: Path, source: NewImages, latents: Latents) -> None:
    columns = [f"z{number}" for number in range(latents.shape[1])]

    def rows() -> Iterator[dict[str, object]]:
        for name, row in zip(source.names, latents, strict=True):
            yield {source.key: name, **dict(zip(columns, row.tolist(), strict=True))}

    array = io.BytesIO()
    np.save(array, latents)
    disk.write_together(folder, {LATENTS: array.getvalue(), TABLE: disk.as_csv(rows())})


def _write_page(
    folder: Path, used: _Encoder, source: NewImages, latents: Latents, like: str, picture: torch.Tensor
) -> str:
    """Write the page of a picture's nearest neighbours, and return the name of the nearest."""
    import torch
    from sklearn.neighbors import NearestNeighbors

    from pipeline.models.inputs import as_input, infer
    from pipeline.report.neighbours import page_of_neighbours

    neighbours = NearestNeighbors(n_neighbors=min(SHOWN, len(latents))).fit(latents)
    distances, places = neighbours.kneighbors(infer(used.backbone, picture).numpy())
    shown = [picture, *(source.read(place, place + 1) for place in places[0].tolist())]
    pixels = (255 * torch.cat([as_input(image) for image in shown])).round().to(torch.uint8).numpy()
    names = [str(source.names[place]) for place in places[0]]
    page = page_of_neighbours(like, names, distances[0].tolist(), pixels, len(latents))
    disk.write_atomic(folder / PAGE, page)
    return names[0]
