"""A classifier as files that need nothing of this project: ONNX for other runtimes, and a program of PyTorch's own.

Both are proven to compute what the original does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from pipeline.errors import PipelineError
from pipeline.models.deployed import Deployed
from pipeline.training.trainer import expected_warnings

if TYPE_CHECKING:
    import onnx

INPUT, OUTPUTS = "images", ("logits", "probabilities", "features")
PROGRAM = "model.pt2"  # beside the ONNX file

SIZES = (1, 2, 257)  # batches that are compared: a single image, few, and more than any size an exporter would pad to
TOLERANCE = 1e-4  # of the outputs; relative where they are larger than 1


def save(model: Deployed, shape: tuple[int, int, int], metadata: Mapping[str, Any], path: Path) -> float:
    """Write the classifier, with any number of images a batch, as ONNX and as a program, and compare both with it.

    The graph takes uint8 images (N, C, H, W) as image files hold them, and divides by 255 itself, so that nobody
    can forget to.

    Args:
        model: The classifier, in eval mode.
        shape: (C, H, W) of an image.
        metadata: The properties that are written into the ONNX file, as JSON, by name.
        path: The ONNX file to write; the program is written beside it.

    Returns:
        The largest deviation seen.

    Raises:
        PipelineError: If the network has a part that ONNX cannot express, or a file computes something else.
    """
    import onnx

    images = torch.zeros(2, *shape, dtype=torch.uint8)
    try:
        with expected_warnings():
            program = torch.onnx.export(
                model,
                (images,),
                input_names=[INPUT],
                output_names=list(OUTPUTS),
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise PipelineError(
            f"the classifier cannot be written as ONNX: {reason}; leave it out with --onnx false"
        ) from error
    assert program is not None
    proto = program.model_proto
    _forget_the_machine(proto)
    onnx.helper.set_model_props(proto, {name: json.dumps(value) for name, value in metadata.items()})
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, path)
    assert program.exported_program is not None
    for node in program.exported_program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it names files of this machine
    torch.export.save(program.exported_program, path.with_name(PROGRAM))
    return compare(model, shape, path)


def _forget_the_machine(proto: onnx.ModelProto) -> None:
    """Take out the exporter's notes, which name files and lines of the machine that it ran on."""
    graph = proto.graph
    nodes = [graph.node, *(function.node for function in proto.functions)]
    for part in (*nodes, graph.value_info, graph.initializer, graph.input, graph.output):
        for entry in part:
            del entry.metadata_props[:]


def compare(model: Deployed, shape: tuple[int, int, int], path: Path) -> float:
    """Run the original and both files on the same random images, and return the largest deviation.

    Args:
        model: The classifier, in eval mode.
        shape: (C, H, W) of an image.
        path: The ONNX file; the program lies beside it.

    Raises:
        PipelineError: If it is above the tolerance.
    """
    generator, largest = np.random.default_rng(0), 0.0
    for size in SIZES:
        images = generator.integers(0, 256, (size, *shape), np.uint8)
        shown = torch.from_numpy(images)
        expected = [output.numpy() for output in model.classify(shown)]
        for file, outputs in ((path.name, run(path, images)), (PROGRAM, _run_program(path.with_name(PROGRAM), shown))):
            for name, found, wanted in zip(OUTPUTS, outputs, expected, strict=True):
                deviation = float((np.abs(found - wanted) / np.maximum(1, np.abs(wanted))).max())
                largest = max(largest, deviation)
                if not deviation <= TOLERANCE:  # NaN is refused, too
                    raise PipelineError(
                        f"{file}: its {name} deviate from the classifier's by {deviation:.2g} on {size} images; it is "
                        "not kept, leave it out with --onnx false"
                    )
    return largest


@torch.no_grad()
def _run_program(path: Path, images: torch.Tensor) -> list[npt.NDArray[np.float32]]:
    """Return the same outputs as ``run``, computed by PyTorch."""
    try:
        return [output.numpy() for output in torch.export.load(path).module()(images)]
    except (RuntimeError, AssertionError) as error:  # such as a guard on the size of the batch
        raise _refusal(path, images.numpy(), error) from error


def _refusal(path: Path, images: npt.NDArray[np.uint8], error: Exception) -> PipelineError:
    return PipelineError(
        f"{path.name} does not run on {len(images)} images ({error}); it is not kept, leave it out with --onnx false"
    )


def run(path: Path, images: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float32]]:
    """Return logits and probabilities, each (N, classes), and features, (N, features), computed by onnxruntime.

    Raises:
        PipelineError: If the file does not take these images.
    """
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        outputs: list[npt.NDArray[np.float32]] = session.run(list(OUTPUTS), {INPUT: images})
    except Exception as error:  # onnxruntime's exceptions have no base of their own
        raise _refusal(path, images, error) from error
    return outputs
