"""Files that mean harm run no code, write nothing elsewhere, exhaust no memory, and get a clear error."""

from __future__ import annotations

import functools
import gzip
import io
import json
import os
import pickle
import resource
import shutil
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.cli import main
from pipeline.store import disk
from pipeline.store.manifest import MANIFEST
from pipeline.store.sealed import seal
from tests.reliability.conftest import Count
from tests.reliability.forking import SMALL, finish

SECONDS = 300  # that a refusal may take, on a very busy machine; a hang lasts longer
ROOM = 512 * 2**20  # bytes that a process may take beyond what it has to begin with
BOMB = 4 * 2**30  # bytes that a bomb has unpacked

Maker = Callable[[Path], None]


class Evil:
    """Unpickled, it leaves a file behind."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


def limit_memory() -> None:
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, size + ROOM))


def snapshot(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


# --- files of images ------------------------------------------------------------------------------------------


def npy(array: np.ndarray[Any, Any]) -> bytes:
    content = io.BytesIO()
    np.save(content, array, allow_pickle=True)
    return content.getvalue()


def npy_header(shape: tuple[int, ...], kind: str = "|u1") -> bytes:
    """The header alone; the array that it declares is up to whoever wrote it."""
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


LABELS = npy(np.arange(40) % 2)
IMAGES = npy(np.zeros((40, 8, 8), np.uint8))


def archive(**members: bytes) -> Maker:
    def make(folder: Path) -> None:
        with zipfile.ZipFile(folder / "x.npz", "w") as file:
            for name, content in ({"labels": LABELS} | members).items():
                file.writestr(f"{name}.npy", content)

    return make


def objects(folder: Path) -> None:
    archive(images=npy(np.array([Evil(folder / "pwned")] * 40, dtype=object)))(folder)


def pickled(folder: Path) -> None:
    (folder / "x.npz").write_bytes(pickle.dumps(Evil(folder / "pwned")))


def pickled_npy(folder: Path) -> None:
    (folder / "x").mkdir()
    for name in ("images", "labels"):
        (folder / "x" / f"{name}.npy").write_bytes(pickle.dumps(Evil(folder / "pwned")))


def torch_file(folder: Path) -> None:
    torch.save({"images": Evil(folder / "pwned")}, folder / "x.npz")


def npz_bomb(folder: Path) -> None:
    with zipfile.ZipFile(folder / "x.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        file.writestr("labels.npy", LABELS)
        size = 2 * ROOM
        with file.open("images.npy", "w") as member:
            member.write(npy_header((size // 2**20, 1024, 1024)))
            for _ in range(size // 2**20):
                member.write(bytes(2**20))


def npy_liar(folder: Path) -> None:
    (folder / "x").mkdir()
    (folder / "x" / "images.npy").write_bytes(npy_header((2**40, 8, 8)) + bytes(640))
    (folder / "x" / "labels.npy").write_bytes(LABELS)


def climbing(folder: Path) -> None:
    """Members that lead out of the archive, and one that is a link."""
    with zipfile.ZipFile(folder / "x.npz", "w") as file:
        for name in ("../../climbed.npy", "/tmp/climbed-absolutely.npy", "..\\climbed.npy"):
            file.writestr(name, IMAGES)
        link = zipfile.ZipInfo("images.npy")
        link.external_attr = 0o120777 << 16
        file.writestr(link, "/etc/passwd")
        file.writestr("labels.npy", LABELS)


def tar(folder: Path) -> None:
    with tarfile.open(folder / "x.npz", "w") as file:
        member = tarfile.TarInfo("../climbed.npy")
        member.size = len(IMAGES)
        file.addfile(member, io.BytesIO(IMAGES))


def idx_files(images: bytes) -> Maker:
    def make(folder: Path) -> None:
        (folder / "x").mkdir()
        (folder / "x" / "train-images-idx3-ubyte").write_bytes(images)
        (folder / "x" / "train-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + struct.pack(">I", 40) + bytes(40))

    return make


def gzip_bomb(head: bytes) -> bytes:
    """Members of a gzip file follow each other: a small one, many times."""
    return gzip.compress(head) + gzip.compress(bytes(2**24)) * (BOMB // 2**24)


def csv_bomb(folder: Path) -> None:
    (folder / "x.csv.gz").write_bytes(gzip_bomb(b"label,a,b\n1,2,3\n"))


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunk(*given) for given in chunks) + chunk(b"IEND", b"")


def pictures(content: bytes, name: str = "a.png", kind: str = "cat") -> Maker:
    def make(folder: Path) -> None:
        for label in (kind, "dog"):
            (folder / "x" / label).mkdir(parents=True, exist_ok=True)
            for number in range(6):
                Image.new("L", (8, 8), number).save(folder / "x" / label / f"{number}.png")
        (folder / "x" / kind / name).write_bytes(content)

    return make


def small_png() -> bytes:
    content = io.BytesIO()
    Image.new("L", (8, 8), 99).save(content, "PNG")
    return content.getvalue()


def pipe(folder: Path) -> None:
    """Opened, a named pipe would wait for ever."""
    pictures(small_png())(folder)
    os.mkfifo(folder / "x" / "cat" / "pipe.png")


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(/tmp/pwned) (w) file closefile\nshowpage\n"
TEXT_BOMB = png(8, 8, (b"zTXt", b"a\0\0" + zlib.compress(bytes(2**27), 1)), (b"IDAT", zlib.compress(bytes(72))))

ADMITTED = b"\0\0\x08\x03" + struct.pack(">III", BOMB // 2**20, 1024, 1024)

# what is made, how it is read, what is said of it; None: it does no harm and is read
FILES: dict[str, tuple[Maker, str, str | None]] = {
    "an npz of objects": (objects, "numpy", "Python objects"),
    "a pickle called npz": (pickled, "numpy", "no .npz archive"),
    "a pickle called npy": (pickled_npy, "numpy", "cannot be read"),
    "a torch file called npz": (torch_file, "numpy", "holds no array 'images'"),
    "an npz bomb": (npz_bomb, "numpy", "memory"),
    "an npz that declares too much": (archive(images=npy_header((2**40, 8, 8)) + bytes(640)), "numpy", "its header"),
    "an npz that declares less than nothing": (archive(images=npy_header((-1, 8, 8))), "numpy", "its header"),
    "an npz with code for a header": (archive(images=npy_header((40,), "__import__('os')")), "numpy", "cannot be"),
    "an npy that declares too much": (npy_liar, "numpy", "its header"),
    "an archive that climbs": (climbing, "numpy", "cannot be read"),
    "a tar called npz": (tar, "numpy", "no .npz archive"),
    "an idx that declares too much": (idx_files(b"\0\0\x08\x03" + b"\xff" * 12), "idx", "memory"),
    "an idx of 255 dimensions": (idx_files(b"\0\0\x08\xff" + b"\xff" * 1020), "idx", "memory"),
    "an idx bomb": (idx_files(gzip_bomb(b"\0\0\x08\x03" + struct.pack(">III", 40, 8, 8))), "idx", "its header says"),
    "an idx bomb that admits it": (idx_files(gzip_bomb(ADMITTED)), "idx", "memory"),
    "a csv bomb": (csv_bomb, "csv", "memory"),
    "a png bomb": (pictures(png(60_000, 60_000, (b"IDAT", b""))), "folder", "exceeds limit"),
    "a smaller png bomb": (pictures(png(12_000, 12_000, (b"IDAT", b""))), "folder", "exceeds limit"),
    "a png of much text": (pictures(TEXT_BOMB), "folder", "cannot be read as a picture"),
    "a png cut short": (pictures(small_png()[:40]), "folder", "cannot be read as a picture"),
    "a program called png": (pictures(POSTSCRIPT), "folder", "cannot be read as a picture"),
    "a program called eps": (pictures(POSTSCRIPT, "a.eps"), "folder", None),
    "a pickle called png": (pictures(pickle.dumps(Evil(Path("pwned")))), "folder", "cannot be read as a picture"),
    "a pipe called png": (pipe, "folder", None),
    "a class that obeys": (pictures(small_png(), kind="c\x1b[2Jat"), "folder", "can be shown"),
    "a class of two lines": (pictures(small_png(), kind="cat\nerror: none"), "folder", "can be shown"),
    "a class that is no text": (pictures(small_png(), kind=os.fsdecode(b"c\xff")), "folder", "can be shown"),
    "a class that is a tag": (pictures(small_png(), kind="<script>alert(1)<|script>"), "folder", None),
    "a picture that obeys": (pictures(b"no picture", name="a\x1b[2J.png"), "folder", r"a\x1b[2J.png"),
}


LIMITED = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the limit of memory is set from /proc")


@LIMITED
@pytest.mark.slow
@pytest.mark.parametrize("kind", FILES)
def test_hostile_images_are_refused(kind: str, tmp_path: Path, count: Count) -> None:
    make, reader, message = FILES[kind]
    data, runs, log = tmp_path / "data", tmp_path / "runs", tmp_path / "log"
    data.mkdir()
    make(data)
    path = data / {"csv": "x.csv.gz"}.get(reader, "x.npz" if (data / "x.npz").exists() else "x")
    before = snapshot(tmp_path)
    arguments = ["data", f"--data.dataset={reader}", f"--data.args.path={path}", "--name=x", f"--runs={runs}"]
    started = time.monotonic()
    status = finish(arguments, log, limit_memory)
    said = log.read_text()
    assert time.monotonic() - started < SECONDS
    assert status == (0 if message is None else 2), said
    assert "Traceback" not in said
    assert "\x1b" not in said
    assert not list(tmp_path.rglob("*pwned*"))
    assert not list(Path("/tmp").glob("*climbed*"))
    if message is not None:
        assert message in said
        assert said.startswith("error: ")
        written = {name for name in snapshot(tmp_path) - before if not name.endswith(".lock")}
        assert written <= {"log", "runs", "runs/x"}
    count("hostile files refused, or read without harm")


@LIMITED
@pytest.mark.slow
def test_without_the_limits_a_bomb_would_go_off(tmp_path: Path) -> None:
    """The bombs are real: reading them as one would takes more memory than there is."""
    (tmp_path / "x").mkdir()
    idx_files(gzip_bomb(b"\0\0\x08\x03" + struct.pack(">III", 40, 8, 8)))(tmp_path / "x")
    bomb = tmp_path / "x" / "x" / "train-images-idx3-ubyte"
    log = tmp_path / "log"
    assert finish(["doctor"], log, functools.partial(read_as_one_would, bomb)) == 7, log.read_text()


def read_as_one_would(path: Path) -> None:
    limit_memory()
    try:
        gzip.decompress(path.read_bytes())
    except MemoryError:
        os._exit(7)


@pytest.mark.parametrize(
    "kind", ["an npz of objects", "an npz that declares too much", "a png bomb", "a class that obeys"]
)
def test_some_are_refused_in_this_process(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, reader, message = FILES[kind]
    make(tmp_path)
    path = tmp_path / ("x.npz" if reader == "numpy" else "x")
    arguments = [f"--data.dataset={reader}", f"--data.args.path={path}", "--name=x", f"--runs={tmp_path / 'runs'}"]
    assert main(["data", *arguments]) == 2
    assert message is not None
    assert message in capsys.readouterr().err
    assert not list(tmp_path.rglob("*pwned*"))


# --- artefacts from elsewhere ---------------------------------------------------------------------------------


def forge(folder: Path, **changes: Any) -> None:
    """Make the manifest agree with files that were put into the folder, as whoever passes it on can."""
    manifest = json.loads((folder / MANIFEST).read_text()) | changes
    del manifest["sha256"]
    if "files" not in changes:
        files = [path for path in folder.iterdir() if path.name != MANIFEST]
        manifest["files"] = {
            path.name: {"sha256": disk.sha256_file(path), "bytes": path.stat().st_size} for path in files
        }
    disk.write_json(folder / MANIFEST, seal(manifest))


def weights(content: bytes) -> Maker:
    def make(folder: Path) -> None:
        (folder / "weights.safetensors").write_bytes(content)
        forge(folder)

    return make


def pickled_weights(folder: Path) -> None:
    torch.save({"backbone": Evil(folder / "pwned")}, folder / "weights.safetensors")
    forge(folder)


def described(**changes: Any) -> Maker:
    def make(folder: Path) -> None:
        path = folder / "description.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        forge(folder)

    return make


def listed(name: str) -> Maker:
    def make(folder: Path) -> None:
        forge(folder, files={name: {"sha256": "0" * 64, "bytes": 0}})

    return make


def nested(folder: Path) -> None:
    (folder / MANIFEST).write_text('{"files": ' + "[" * 100_000)


def nested_description(folder: Path) -> None:
    (folder / "description.json").write_text("[" * 100_000)
    forge(folder)


def waiting(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    forge(folder, files={"pipe": {"sha256": "0" * 64, "bytes": 0}})


def tensors(header: str, size: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if size is None else size) + header.encode()


EIGHT = '{"dtype": "U8", "shape": [8], "data_offsets": [0, 8]}'
HYPER = {"_instantiator": "os.system", "_class_path": "os.system", "path": "touch pwned"}
HUGE = {"name": "mlp", "widths": [2**40], "hidden": [], "args": {}, "latent": 8}
CODE = {"name": "os:system", "widths": [8], "hidden": [], "args": {}, "latent": 8}
EXPORTS: dict[str, tuple[Maker, str]] = {
    "weights that are a pickle": (pickled_weights, "does not fit the encoder"),
    "weights whose header is too long": (weights(tensors("{}", 2**62)), "does not fit the encoder"),
    "weights that declare too much": (
        weights(tensors('{"a": {"dtype": "F32", "shape": [1099511627776], "data_offsets": [0, 4398046511104]}}')),
        "does not fit the encoder",
    ),
    "weights that overlap": (weights(tensors(f'{{"a":{EIGHT},"b":{EIGHT}}}') + bytes(8)), "does not fit the encoder"),
    "weights without end": (weights(tensors("[" * 10_000)), "does not fit the encoder"),
    "a network larger than memory": (described(encoder=HUGE), "does not fit the encoder"),
    "a head larger than memory": (described(head_widths=[2**40]), "does not fit the encoder"),
    "an encoder that is code": (described(encoder=CODE), "which is code of its maker's"),
    "a method that is code": (
        described(encoder={**CODE, "name": "mlp", "method": "os:system"}),
        "which is code of its maker's",
    ),
    "settings of another world": (described(encoder=dict.fromkeys(HYPER, "os:system")), "not described"),
    "no settings": (described(encoder=[]), "not described"),
    "a shape that is none": (described(input={"shape": [1, -8, 8]}), "not described"),
    "classes that obey": (described(classes=["\x1b[2J"] * 10), "not described"),
    "a description without end": (nested_description, "cannot be read"),
    "a manifest without end": (nested, "is not the file that was written"),
    "a file outside": (listed("../../../../../../etc/passwd"), "is no file inside"),
    "a file at the root": (listed("/etc/passwd"), "is no file inside"),
    "a device": (listed("/dev/zero"), "is no file inside"),
    "a pipe": (waiting, "is no file inside"),
}


@pytest.fixture(scope="module")
def exported(compared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    out, log = folder / "out", folder / "log"
    [cell] = (compared / "small" / "cells").glob("frozen-50-0-*")
    runs = Path(shutil.copytree(compared, folder / "runs"))
    arguments = ["export", f"--cell={runs / 'small' / 'cells' / cell.name}", "--onnx=false", f"--out={out}"]
    assert finish(arguments, log) == 0, log.read_text()
    np.save(folder / "images.npy", np.zeros((3, 8, 8), np.uint8))
    return folder


@LIMITED
@pytest.mark.slow
@pytest.mark.parametrize("kind", EXPORTS)
def test_a_hostile_classifier_is_refused(kind: str, exported: Path, tmp_path: Path, count: Count) -> None:
    make, message = EXPORTS[kind]
    folder, log = Path(shutil.copytree(exported / "out", tmp_path / "export")), tmp_path / "log"
    make(folder)
    arguments = ["predict", f"--cell={folder}", f"--images={exported / 'images.npy'}", f"--out={tmp_path / 'out.csv'}"]
    assert finish(arguments, log, limit_memory) == 2, log.read_text()
    said = log.read_text()
    assert message in said
    assert said.startswith("error: ")
    assert "Traceback" not in said
    assert "\x1b" not in said
    assert not list(tmp_path.rglob("*pwned*"))
    assert not list(tmp_path.glob("*out.csv*"))
    count("hostile files refused, or read without harm")


@pytest.mark.slow
def test_an_honest_classifier_is_not_refused(exported: Path, tmp_path: Path) -> None:
    folder, log = Path(shutil.copytree(exported / "out", tmp_path / "export")), tmp_path / "log"
    forge(folder)
    arguments = ["predict", f"--cell={folder}", f"--images={exported / 'images.npy'}", f"--out={tmp_path / 'out.csv'}"]
    assert finish(arguments, log, limit_memory) == 0, log.read_text()


# --- checkpoints and configs ----------------------------------------------------------------------------------


def checkpoint(content: object) -> Maker:
    """A file that begins with its own SHA-256, as ours do."""
    import hashlib

    def make(path: Path) -> None:
        stored = io.BytesIO()
        torch.save(content, stored)
        path.write_bytes(hashlib.sha256(stored.getvalue()).digest() + stored.getvalue())

    return make


def raw(content: bytes) -> Maker:
    def make(path: Path) -> None:
        path.write_bytes(content)

    return make


CHECKPOINTS: dict[str, Maker] = {
    "a pickle": raw(pickle.dumps(Evil(Path("pwned")))),
    "a torch file of a pickle": checkpoint(Evil(Path("pwned"))),
    "code in the settings": checkpoint({"hyper_parameters": HYPER, "state_dict": {}, "pytorch-lightning_version": "2"}),
    "nothing": raw(b""),
    "a list": checkpoint([1, 2, 3]),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_a_hostile_checkpoint_is_left_out(kind: str, compared: Path, tmp_path: Path, count: Count) -> None:
    runs, log = Path(shutil.copytree(compared, tmp_path / "runs")), tmp_path / "log"
    [made] = (runs / "small").glob("pretrain-*")
    shutil.rmtree(made)
    CHECKPOINTS[kind](made.with_name(f".{made.name}.checkpoint"))
    assert finish(["pretrain", *SMALL, f"--runs={runs}"], log, functools.partial(os.chdir, tmp_path)) == 0
    assert "training begins anew" in log.read_text()
    assert not list(tmp_path.rglob("*pwned*"))
    assert (made / "backbone.safetensors").read_bytes() == (
        compared / "small" / made.name / "backbone.safetensors"
    ).read_bytes()
    count("hostile files refused, or read without harm")


CONFIGS = {
    "code": "name: !!python/object/apply:os.system ['touch pwned']\n",
    "an object": "name: !!python/name:os.system\n",
    "laughs": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)),
    "a name that climbs": "name: ../../climbed\n",
    "a binary": "\x00\x01\x02",
    "without end": "[" * 10_000,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", CONFIGS)
def test_a_hostile_config_is_refused(kind: str, tmp_path: Path, count: Count) -> None:
    """A config may name code of the user's by design; what is not said in that way is not run."""
    path, log = tmp_path / "mine.yaml", tmp_path / "log"
    path.write_text(CONFIGS[kind])
    arguments = ["data", f"--config={path}", "--data.dataset=digits", f"--runs={tmp_path / 'runs'}"]
    assert finish(arguments, log, functools.partial(prepare, tmp_path)) == 2, log.read_text()
    assert "Traceback" not in log.read_text()
    assert snapshot(tmp_path) == {"mine.yaml", "log"}
    count("hostile files refused, or read without harm")


def prepare(folder: Path) -> None:
    os.chdir(folder)
    limit_memory()
