"""Both ways: beside a torch that the compiled operators do not fit, and beside one that they do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from pipeline._torchvision_repair import repair

FAKE = """
import torch
torch.ops.torchvision.nms, torch.ops.torchvision.qnms
print("imported")
"""


def python(code: str, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import sys; sys.path.insert(0, {str(path)!r})\n{code}"],
        capture_output=True,
        text=True,
        check=False,
    )


def fake_torchvision(folder: Path, extension: bytes) -> Path:
    package = folder / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(FAKE)
    (package / "_C.so").write_bytes(extension)
    return folder


def test_an_extension_that_does_not_load_breaks_torchvision_without_the_package_and_not_with_it(
    tmp_path: Path,
) -> None:
    path = fake_torchvision(tmp_path, b"built for another machine")
    assert "has no attribute 'nms'" in python("import torchvision", path).stderr
    repaired = python("import pipeline, torchvision", path)
    assert repaired.stdout == "imported\n", repaired.stderr


def test_operators_that_are_there_are_left_alone(tmp_path: Path) -> None:
    path = fake_torchvision(tmp_path, b"built for another machine")
    healthy = (
        "import torch; theirs = torch.library.Library('torchvision', 'DEF')\n"
        "for name in ('nms', 'qnms'): theirs.define(name + '(Tensor dets) -> Tensor')\n"
        "import pipeline, torchvision; from pipeline import _torchvision_repair as repair\n"
        "print(len(repair._libraries), torch.ops.torchvision.nms.default._schema)"
    )
    result = python(healthy, path)
    assert result.stdout == "imported\n0 torchvision::nms(Tensor dets) -> Tensor\n", result.stderr


def test_the_installed_torchvision_imports_with_its_datasets_and_transforms() -> None:
    result = python(
        "import pipeline, torchvision; from torchvision.transforms import v2; print(torchvision.datasets.MNIST)",
        Path(),
    )
    assert "MNIST" in result.stdout, result.stderr


def test_repairing_twice_declares_nothing_twice(tmp_path: Path) -> None:
    import torchvision  # noqa: F401

    assert repair(tmp_path) == []
    assert hasattr(torch.ops.torchvision, "nms")
