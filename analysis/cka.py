"""Compute centered kernel alignment (CKA) between the layers of two backbones, batch by batch.

Source: Nguyen, Raghu, Kornblith 2021 (minibatch CKA), with the unbiased HSIC of Song et al. 2012 and linear kernels:
the diagonals of the Gram matrices are set to zero, each HSIC is averaged over the batches, then the ratio is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from analysis.answer import AnalysisOutput, answer_question
from analysis.inputs.image_inputs import AnalysisInputs, resolve_image_inputs
from analysis.inputs.image_subset import ImageBatch, require_same_images
from analysis.inputs.representations import read_layers
from analysis.output.csv_tables import encode_csv
from analysis.output.figures import draw_heatmap, render_figure
from analysis.record import Analysis
from analysis.request import READ_POINT_WORDS, CkaRequest, ReadPoint
from analysis.store import StoredAnalysis
from engine.device import convert_to_float64
from foundation.errors import BenchError, UserError

METHOD_VERSION = 1
MIN_BATCH_SIZE = 4
"""Minimum images per batch: the unbiased estimator divides by n (n - 3)."""


class LayerGrams(NamedTuple):
    """What CKA needs of a batch of n images: image names, layer names, and centered Gram matrices (layers, n, n)."""

    image_names: tuple[str, ...]
    layer_names: tuple[str, ...]
    matrices: Tensor


def compute_centered_gram(features: Tensor) -> Tensor:
    """Compute the Gram matrix of a batch, centered for the unbiased HSIC.

    Let K be the matrix of inner products of the images with a zero diagonal, r_i the sum of its row i, and s the sum
    of all entries. Off the diagonal the centered entries are K_ij - (r_i + r_j) / (n - 2) + s / ((n - 1) (n - 2))
    (Szekely and Rizzo 2014).

    Args:
        features: features (n, ...); those of each image are flattened to one vector.

    Returns:
        The centered matrix (n, n), float64, with a zero diagonal.

    Raises:
        UserError: there are fewer than 4 images.
        BenchError: the features are not finite.
    """
    count = len(features)
    if count < MIN_BATCH_SIZE:
        raise UserError(
            f"the unbiased estimator of CKA needs batches of {MIN_BATCH_SIZE} images or more, not {count}; "
            "raise --images or --batch"
        )
    # float64: the features of a nearly constant layer differ only in late digits; the cost is one product per layer
    flat = convert_to_float64(features.reshape(count, -1))
    # Improves the rounding only: the centering below removes a common vector anyway
    flat = flat - flat.mean(0)
    kernel = flat @ flat.T
    if not bool(kernel.isfinite().all()):
        raise BenchError("the features of a layer are not finite; check the start weights")
    # Song et al. 2012, equation 5, for kernels K and L with zeroed diagonals:
    #   HSIC_1 = [ tr(K L) + sum(K) sum(L) / ((n-1)(n-2)) - 2/(n-2) 1'K L 1 ] / (n (n-3)).
    # With the centered matrices K~ and L~ computed below it is sum_ij K~_ij L~_ij / (n (n-3)), a plain inner product.
    # So each layer is centered once, instead of evaluating the formula for each pair of layers.
    kernel.fill_diagonal_(0)
    rows = kernel.sum(0)  # the matrix is symmetric, so column sums are row sums
    centred = kernel - (rows[:, None] + rows) / (count - 2) + rows.sum() / ((count - 1) * (count - 2))
    return centred.fill_diagonal_(0)


class CkaAccumulator:
    """Accumulate sums of HSIC over batches; memory does not grow with the number of images.

    Example:
        >>> import torch
        >>> features = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
        >>> grams = LayerGrams(tuple("abcdefgh"), ("block 0",), compute_centered_gram(features)[None])
        >>> sums = CkaAccumulator()
        >>> sums.update(grams, grams)
        >>> sums.compute().round(12).tolist()
        [[1.0]]
    """

    def __init__(self) -> None:
        self.row_layers: tuple[str, ...] = ()
        self.column_layers: tuple[str, ...] = ()
        self.num_images = self.num_batches = 0
        self._hsic_sums: tuple[Tensor, Tensor, Tensor] | None = None

    def update(self, first: LayerGrams, second: LayerGrams) -> None:
        """Add a batch.

        Args:
            first: Gram matrices of the first backbone.
            second: Gram matrices of the second backbone on the same images.

        Raises:
            IncompleteError: the two backbones saw different images, or the same images in a different order.
            BenchError: the layers differ from those of the batch before.
        """
        require_same_images(first.image_names, second.image_names)
        if self._hsic_sums is not None and (first.layer_names, second.layer_names) != (
            self.row_layers,
            self.column_layers,
        ):
            raise BenchError("the layers changed between two batches; compare the same layers throughout")
        self.row_layers, self.column_layers = first.layer_names, second.layer_names
        count = len(first.image_names)
        # (layers, n * n) times (n * n, layers): one product gives the inner products of all pairs of layers. The
        # denominator of the ratio needs the inner product of each layer with itself.
        left, right = (grams.matrices.flatten(1) for grams in (first, second))
        found = (left @ right.T, (left * left).sum(1), (right * right).sum(1))
        # HSICs are summed over batches and the ratio is taken at the end: the HSIC of a batch is unbiased, but the
        # ratio of one batch is not
        hsic = [part.cpu() / (count * (count - 3)) for part in found]
        old = self._hsic_sums or tuple(torch.zeros_like(part) for part in hsic)
        self._hsic_sums = (old[0] + hsic[0], old[1] + hsic[1], old[2] + hsic[2])
        self.num_images += count
        self.num_batches += 1

    def compute(self) -> NDArray[np.float64]:
        """Return the CKA of each layer of the first backbone (rows) with each layer of the second (columns).

        An estimate can lie slightly outside 0 to 1, because it is unbiased.

        Raises:
            BenchError: no batch was added, or a layer gives all images the same features.
        """
        if self._hsic_sums is None:
            raise BenchError("CKA cannot be computed from no images; add a batch first")
        cross, first, second = (np.asarray(part.numpy()) for part in self._hsic_sums)
        for names, own in ((self.row_layers, first), (self.column_layers, second)):
            if (own <= 0).any():  # a sum of squares: 0 only when all images have the same features
                name = names[int(np.flatnonzero(own <= 0)[0])]
                raise BenchError(
                    f"layer {name} gives all images the same features (seen on {self.num_images} images), so its CKA "
                    "is not defined; choose other layers with --at, or raise --images"
                )
        # The number of batches cancels in the ratio, so sums serve as well as means
        return np.asarray(cross / np.sqrt(first[:, None] * second[None]))


def stack_grams(image_names: tuple[str, ...], layers: Sequence[tuple[str, Tensor]]) -> LayerGrams:
    """Stack the Gram matrices of the layers of a batch.

    Args:
        image_names: names of the n images.
        layers: name and Gram matrix (n, n) of each layer.
    """
    return LayerGrams(image_names, tuple(name for name, _ in layers), torch.stack([value for _, value in layers]))


def compute_layer_grams(model: nn.Module, batch: ImageBatch, read_point: ReadPoint, device: str) -> LayerGrams:
    """Compute the Gram matrix of every representation of a batch.

    Args:
        model: a timm model in eval mode, on ``device``.
        batch: four images or more.
        read_point: which representations to read.
        device: ``cpu``, ``cuda`` or ``mps``.

    Raises:
        UserError: the model has no transformer blocks, or there are fewer than 4 images.
        BenchError: features are not finite; the message names the layer.
    """
    # Each Gram matrix is computed as soon as its layer has run, so that only one layer's features are in memory
    layers: list[tuple[str, Tensor]] = []

    def add_gram(name: str, features: Tensor) -> None:
        try:
            layers.append((name, compute_centered_gram(features)))
        except UserError:  # a subclass of BenchError; too few images are not the fault of a layer
            raise
        except BenchError as error:
            raise BenchError(f"{name}: {error}") from error

    read_layers(model, batch.images.to(device), read_point, add_gram)
    return stack_grams(batch.names, layers)


def run_cka(request: CkaRequest) -> StoredAnalysis:
    """Compare every layer of the first backbone with every layer of the second on the same images.

    Raises:
        UserError: the request does not have exactly two backbones, or is wrong elsewhere.
    """
    if len(request.backbones) != 2:
        raise UserError(f"CKA compares two backbones, not {len(request.backbones)}; give two, or the same one twice")
    inputs = resolve_image_inputs(request, MIN_BATCH_SIZE)
    settings = {"at": request.read_point, "batch": request.batch_size}
    return answer_question(
        request, inputs.make_question(METHOD_VERSION, settings), lambda: _compute_cka(request, inputs)
    )


def _compute_cka(request: CkaRequest, inputs: AnalysisInputs) -> AnalysisOutput:
    sums = accumulate_cka(inputs, request.read_point, request.batch_size)
    values = sums.compute()
    first, second = (each.label for each in inputs.backbones)
    title = f"CKA, {inputs.caption}\nlayers: {READ_POINT_WORDS[request.read_point]}"
    figure = draw_heatmap(values, sums.row_layers, sums.column_layers, title, (f"{first}: block", f"{second}: block"))
    rows = [(row, *line) for row, line in zip(sums.row_layers, values.tolist(), strict=True)]
    numbers = {
        "rows": list(sums.row_layers),
        "columns": list(sums.column_layers),
        "cka": values.tolist(),
        "images": sums.num_images,
        "batches": sums.num_batches,
    }
    return AnalysisOutput(
        numbers, {"cka.csv": encode_csv(("layer", *sums.column_layers), rows), **render_figure(figure, "cka")}
    )


def accumulate_cka(inputs: AnalysisInputs, read_point: ReadPoint, batch_size: int) -> CkaAccumulator:
    """Run both backbones over the images batch by batch; a backbone that is compared with itself runs only once.

    Args:
        inputs: two backbones, each with its subset of the images.
        read_point: which representations to read.
        batch_size: maximum images per batch.

    Raises:
        IncompleteError: the two backbones would see different images, or in a different order.
    """
    first, second = inputs.subsets
    require_same_images(first.image_names(), second.image_names())
    alike = inputs.backbones[0].identity() == inputs.backbones[1].identity()
    one, other = (each.build_model(inputs.device) for each in inputs.backbones)
    sums = CkaAccumulator()
    # Each backbone reads its own subset: the same images, preprocessed with the mean, std and size of its card
    for left, right in zip(first.iter_batches(batch_size, "cka"), second.iter_batches(batch_size), strict=True):
        rows = compute_layer_grams(one, left, read_point, inputs.device)
        sums.update(rows, rows if alike else compute_layer_grams(other, right, read_point, inputs.device))
    return sums


def summarize_analysis(analysis: Analysis) -> list[str]:
    """Return the main results as lines of text."""
    numbers = analysis.numbers
    values = np.array(numbers["cka"])
    lines = [f"{len(values)} x {len(values[0])} layers, {numbers['images']} images in {numbers['batches']} batches"]
    best = [(numbers["columns"][place], line[place]) for line, place in zip(values, values.argmax(1), strict=True)]
    for row, (column, value) in zip(numbers["rows"], best, strict=True):
        lines.append(f"  {row}: most like {column} ({value:.3f})")
    return lines
