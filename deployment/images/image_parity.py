"""Compare an exported image model with PyTorch's on real images, and refuse one that computes something else."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from deployment.images.image_manifest import ImageModelOutput, ImageParity
from deployment.images.image_sets import ImageSet
from engine.evaluation.model_source import Precision
from engine.progress_bar import ProgressBar
from foundation.errors import BenchError

F32_TOLERANCE = 1e-4
"""Largest difference of a logit in f32, as a fraction of the largest logit: logits of networks differ in scale."""
F32_MIN_AGREEMENT = 0.999
"""Lowest fraction of equal labels in f32, for exports that return labels: two logits can be equal but for rounding."""
MIN_AGREEMENT = 0.5
"""Lowest fraction of equal classes in bf16 and int8. What less costs is for the score of the exported model to say."""
MAX_NOISE = 1.0
"""Largest noise in bf16 and int8, see ``ImageParity.noise``: above it there is more rounding than signal."""

ImageFunction = Callable[[Tensor], Tensor]
"""Maps normalized images (N, 3, H, W) to logits or labels."""


def measure_image_parity(
    reference: ImageFunction, candidate: ImageFunction, images: ImageSet, output: ImageModelOutput
) -> ImageParity:
    """Measure how far an exported model is from PyTorch's.

    Args:
        reference: PyTorch's model, from images to logits.
        candidate: the exported model, from images to ``output``.
        images: the images.
        output: what the exported model returns.

    Raises:
        BenchError: the outputs are of another shape, or are not finite.
    """
    equal = pixels = 0
    squares = spread = difference = scale = 0.0
    # one image at a time, since the sizes of a dynamic export differ
    for image in _show_progress(images):
        with torch.inference_mode():
            expected = reference(image).float()
        found = candidate(image)
        labels = expected.argmax(1)
        # tensors of different shapes could be broadcast and compared without an error
        if found.shape != (labels.shape if output == "labels" else expected.shape):
            raise BenchError(
                f"the exported model gives {output} of shape {tuple(found.shape)} for an image of {tuple(image.shape)} "
                f"and PyTorch's gives logits of {tuple(expected.shape)}; nothing was written"
            )
        equal += int(((found if output == "labels" else found.argmax(1)) == labels).sum())
        pixels += labels.numel()
        if output == "logits":
            apart = found.double() - expected.double()
            # NaN would pass every comparison of "max", and argmax would call it a class
            if not torch.isfinite(apart).all():
                raise BenchError("the exported model gives numbers that are not finite; nothing was written")
            difference = max(difference, float(apart.abs().max()))
            scale = max(scale, float(expected.abs().max()))
            squares += float(apart.square().mean()) / len(images.images)
            spread += float(expected.double().var(1, unbiased=False).mean()) / len(images.images)
    logits = {"difference": difference, "scale": scale, "noise": (squares / max(spread, 1e-30)) ** 0.5}
    return ImageParity(
        images=len(images.images),
        source=images.source,
        fingerprint=images.compute_fingerprint(),
        sizes=images.list_sizes(),
        agreement=equal / pixels,
        **(logits if output == "logits" else {}),
    )


def _show_progress(images: ImageSet) -> Iterator[Tensor]:
    """Yield the images with a progress bar: PyTorch takes long for large images."""
    with ProgressBar("compare the export with PyTorch", "images", len(images.images)) as bar:
        for image in images.images:
            yield image
            bar.advance()


def require_image_parity(parity: ImageParity, precision: Precision, export_name: str) -> None:
    """Check that an exported model is PyTorch's, as exactly as its precision allows.

    Args:
        parity: the measured differences.
        precision: precision of the export.
        export_name: what is exported, for the message.

    Raises:
        BenchError: it is not.
    """
    if precision == "f32":
        if parity.difference is not None and parity.scale is not None:
            limit = F32_TOLERANCE * parity.scale
            fault = (
                f"logits by up to {parity.difference:.3g} ({limit:.3g} allowed)" if parity.difference > limit else ""
            )
        else:
            is_low = parity.agreement < F32_MIN_AGREEMENT
            fault = f"{100 * (1 - parity.agreement):.2f} % of the labels" if is_low else ""
        if fault:
            raise BenchError(f"{export_name} differs from PyTorch's model: {fault}; nothing was written")
        return
    # far from any useful model; how much a smaller difference costs depends on the task
    if parity.agreement < MIN_AGREEMENT or (parity.noise is not None and parity.noise > MAX_NOISE):
        noise = "" if parity.noise is None else f", with noise of {parity.noise:.2f} of a logit's deviation"
        raise BenchError(
            f"{export_name} is no longer the model: only {100 * parity.agreement:.1f} % of its classes are PyTorch's"
            f"{noise}; nothing was written, choose another --precision"
        )
