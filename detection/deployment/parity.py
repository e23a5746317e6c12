"""Compare an exported detector with PyTorch's on real images, and refuse one that computes something else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import box_iou

from deployment.graph_io import GraphCallable
from deployment.onnx_export import ExportGraph
from detection.data.dataset import make_inference_image
from detection.data.samples import ImageDetections, InferenceImage
from detection.deployment.graphs import build_detector_graphs
from detection.deployment.manifest import DetectorParity
from detection.models.detector import Detector
from engine.data import photographs
from engine.evaluation.model_source import Precision
from foundation.errors import BenchError

F32_TOLERANCE = 1e-4
"""Largest difference of an output in f32, as a fraction of its largest value: outputs of networks differ in scale."""
F32_MIN_AGREEMENT = 0.95
"""Lowest agreement in f32: of two boxes with equal scores, rounding decides which one drops the other."""
MIN_AGREEMENT = 0.5
"""Lowest agreement in bf16. What less costs is for the AP of the exported model to say."""
SAME_IOU, SAME_SCORE = 0.9, 0.01


def load_parity_images(size: int) -> list[InferenceImage]:
    """Return embedded photographs as a detector takes them; nothing is calibrated on them.

    Args:
        size: length of the longer side, pixels.
    """
    found = photographs.load_photos(photographs.TEST_PHOTOS)
    return [make_inference_image(item, Image.fromarray(photo), size) for item, photo in enumerate(found)]


def measure_detector_parity(
    reference: Detector, candidate: Detector, graphs: Mapping[str, GraphCallable], images: Sequence[InferenceImage]
) -> DetectorParity:
    """Measure how far an exported detector is from PyTorch's.

    Args:
        reference: PyTorch's detector, as ``prepare_detector`` returns it.
        candidate: its twin, whose parts are graphs.
        graphs: these graphs by name.
        images: resized images.

    Raises:
        BenchError: outputs have other shapes, or are not finite.
    """
    difference = dict.fromkeys(graphs, 0.0)
    parts = build_detector_graphs(reference)
    shared, total, num_detections = 0, 0, 0
    for image in images:
        for name, value in _compare_graphs(reference, parts, graphs, image).items():
            difference[name] = max(difference[name], value)
        ours, theirs = reference.detect_objects([image])[0], candidate.detect_objects([image])[0]
        shared += count_shared(ours, theirs) + count_shared(theirs, ours)
        total += len(ours.scores) + len(theirs.scores)
        num_detections += len(ours.scores)
    return DetectorParity(
        images=len(images),
        source="embedded photographs",
        difference=difference,
        detections=num_detections,
        agreement=shared / total if total else 1.0,
    )


@torch.no_grad()
def _compare_graphs(
    reference: Detector, parts: Mapping[str, ExportGraph], graphs: Mapping[str, GraphCallable], image: InferenceImage
) -> dict[str, float]:
    """Return the relative difference of each graph with PyTorch's input for it, so that nothing adds up."""
    levels = reference.compute_levels(reference.make_batch([image.image]))
    # real features of regions: cells of the finest level in the place of pooled ones
    inputs: dict[str, list[Tensor]] = {}
    for name, part in parts.items():
        shapes = [tuple(each.shape) for each in part.inputs.values()]
        if shapes == [tuple(each.shape) for each in levels]:
            inputs[name] = levels
        elif shapes[0][1] == 3:
            inputs[name] = [reference.make_batch([image.image])]
        else:
            side = shapes[0][2]
            inputs[name] = [torch.cat([levels[0][:, :, k : k + side, k : k + side] for k in range(shapes[0][0])])]
    found = {}
    for name, part in parts.items():
        expected = part.module(*inputs[name])
        expected = [expected] if isinstance(expected, Tensor) else list(expected)
        feeds = {key: np.ascontiguousarray(each.numpy()) for key, each in zip(part.inputs, inputs[name], strict=True)}
        outputs = graphs[name](feeds)
        found[name] = 0.0
        for key, one in zip(part.outputs, expected, strict=True):
            other = torch.from_numpy(np.array(outputs[key]))
            # tensors of different shapes could be broadcast and compared without an error
            if other.shape != one.shape:
                raise BenchError(
                    f"the graph {name} gives {key} of shape {tuple(other.shape)} and PyTorch's part "
                    f"{tuple(one.shape)}; nothing was written"
                )
            apart = float((other - one).abs().max()) / max(float(one.abs().max()), 1e-12)
            # NaN would pass every comparison of "max"
            if not np.isfinite(apart):
                raise BenchError(f"the graph {name} gives numbers that are not finite; nothing was written")
            found[name] = max(found[name], apart)
    return found


def count_shared(ours: ImageDetections, theirs: ImageDetections) -> int:
    """Return how many of our detections the others have too.

    Args:
        ours: detections of an image.
        theirs: other detections of the image.
    """
    if not len(ours.scores) or not len(theirs.scores):
        return 0
    close = box_iou(ours.boxes, theirs.boxes) > SAME_IOU
    same = ours.labels[:, None] == theirs.labels[None]
    near = (ours.scores[:, None] - theirs.scores[None]).abs() < SAME_SCORE
    return int((close & same & near).any(1).sum())


def require_detector_parity(parity: DetectorParity, precision: Precision, export_name: str) -> None:
    """Check that an exported detector is PyTorch's, as exactly as its precision allows.

    Args:
        parity: the measured differences.
        precision: precision of the export.
        export_name: what is exported, for the message.

    Raises:
        BenchError: it is not.
    """
    wrong = {name: value for name, value in parity.difference.items() if not value <= F32_TOLERANCE}
    if precision == "f32" and wrong:
        said = ", ".join(f"{name} by {value:.2g}" for name, value in wrong.items())
        raise BenchError(
            f"{export_name} differs from PyTorch's model: {said} of the largest output ({F32_TOLERANCE:g} allowed); "
            "nothing was written"
        )
    if parity.agreement < (F32_MIN_AGREEMENT if precision == "f32" else MIN_AGREEMENT):
        raise BenchError(
            f"{export_name} is not PyTorch's model: only {100 * parity.agreement:.1f} % of the detections are equal; "
            "nothing was written"
        )
