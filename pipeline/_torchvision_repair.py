"""Make ``import torchvision`` work beside a torch build that its compiled operators do not fit.

PyPI's torchvision is a CUDA build. Beside a CPU-only torch its extension cannot be loaded, and
``import torchvision`` dies with ``operator torchvision::nms does not exist``, taking torchmetrics and
Lightning with it. Nothing here uses those operators; declaring the names is enough. This is the only place
that knows about it: a finder waits for the first import of torchvision, whoever asks, and steps aside.

An install whose operators load is left untouched.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

# the operators that torchvision registers fakes for without asking whether they exist
_DECLARATIONS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}

_libraries: list[object] = []  # a torch Library takes its declarations with it when it is collected


class _RepairFinder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            spec = PathFinder.find_spec("torchvision", path)
            if spec is not None and spec.origin is not None:
                repair(Path(spec.origin).parent)
        return None  # the ordinary finders do the importing


def install() -> None:
    """Watch for the first import of torchvision; does nothing where it has been imported already."""
    watching = any(isinstance(finder, _RepairFinder) for finder in sys.meta_path)
    if "torchvision" not in sys.modules and not watching:
        sys.meta_path.insert(0, _RepairFinder())


def in_effect() -> bool:
    """Whether operators had to be declared; to be asked after torchvision was imported."""
    return bool(_libraries)


def repair(package: Path) -> list[str]:
    """Declare the operators that torchvision needs to be importable, where they are really missing.

    Returns:
        The operators declared; empty for a healthy install.
    """
    import torch

    for extension in sorted(package.glob("_C*.so")) + sorted(package.glob("_C*.pyd")):
        try:
            torch.ops.load_library(extension)  # type: ignore[no-untyped-call]  # what torchvision does next
        except OSError:
            continue
    missing = [name for name in _DECLARATIONS if not hasattr(torch.ops.torchvision, name)]
    if missing:
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for name in missing:
            library.define(_DECLARATIONS[name])  # type: ignore[no-untyped-call]
        _libraries.append(library)
    return missing
