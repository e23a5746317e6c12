"""Spectrum of a backbone's pooled features: eigenvalues of their covariance, and how many directions matter."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.answer import AnalysisOutput, answer_question
from analysis.inputs.image_inputs import AnalysisInputs, resolve_image_inputs
from analysis.output.csv_tables import encode_csv
from analysis.output.figures import PlotCurve, draw_curves, render_figure
from analysis.record import Analysis
from analysis.request import SpectrumRequest
from analysis.store import StoredAnalysis
from backbones.features import extract_pooled
from foundation.errors import BenchError, UserError

METHOD_VERSION = 1
BATCH_SIZE = 64
"""Images in one forward pass; it moves last digits only."""

MIN_SHARE = 1e-10
"""Directions with a smaller share of the variance are rounding; the figure, whose axis is logarithmic, omits them."""


class CovarianceAccumulator:
    """Sums for the covariance of feature vectors (n, C), batch by batch, in float64."""

    def __init__(self) -> None:
        self.num_images = 0
        self._shift: Tensor | None = None
        self._sum: Tensor | None = None
        self._outer_sum: Tensor | None = None

    def update(self, features: Tensor) -> None:
        """Add a batch (n, C).

        Raises:
            BenchError: features that are not finite.
        """
        # Only a sum and a sum of outer products are kept: (C) and (C, C), however many images there are
        values = features.double().cpu()
        if not bool(values.isfinite().all()):
            raise BenchError("the features are not finite; check the start weights")
        if self._shift is None:  # a value near the mean: sums of squares far from the origin would cancel to noise
            self._shift = values.mean(0)
            self._sum = torch.zeros_like(self._shift)
            self._outer_sum = torch.zeros(len(self._shift), len(self._shift), dtype=torch.float64)
        assert self._sum is not None and self._outer_sum is not None
        values = values - self._shift
        self._sum = self._sum + values.sum(0)
        self._outer_sum = self._outer_sum + values.T @ values
        self.num_images += len(values)

    def compute_eigenvalues(self) -> NDArray[np.float64]:
        """Eigenvalues of the covariance (divisor n - 1), the largest first; those below 0, which is rounding, are 0.

        Raises:
            UserError: fewer than two images.
        """
        if self.num_images < 2 or self._sum is None or self._outer_sum is None:
            raise UserError(f"a spectrum needs two images or more, not {self.num_images}; raise --images")
        # sum (x - m)(x - m)' = sum x x' - n m m', with x and m both relative to the shift
        mean = self._sum / self.num_images
        covariance = (self._outer_sum - self.num_images * torch.outer(mean, mean)) / (self.num_images - 1)
        return np.asarray(torch.linalg.eigvalsh(covariance).flip(0).clamp_min(0).numpy())


def compute_effective_rank(eigenvalues: NDArray[np.float64]) -> float:
    """exp of the entropy of the eigenvalues as shares of their sum: how many directions carry the variance.

    Source: Roy and Vetterli 2007, on the covariance's eigenvalues.

    Raises:
        BenchError: no variance at all.

    >>> round(compute_effective_rank(np.array([2.0, 2.0, 2.0, 0.0])), 6)
    3.0
    """
    # exp(H(p)), p_i = eigenvalue_i / sum: k equal eigenvalues give k, one dominant one gives 1
    total = float(eigenvalues.sum())
    if total <= 0:
        raise BenchError("all images have the same features, so there is no rank")
    shares = eigenvalues[eigenvalues > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))


def run_spectrum(request: SpectrumRequest) -> StoredAnalysis:
    """Eigenvalues of the covariance of a backbone's pooled features, and their effective rank.

    Raises:
        UserError: fewer than two images, or something else that is wrong with the request.
    """
    inputs = resolve_image_inputs(request, min_images=2)
    return answer_question(
        request, inputs.make_question(METHOD_VERSION, {"pool": "avg"}), lambda: _compute_spectrum(inputs)
    )


def _compute_spectrum(inputs: AnalysisInputs) -> AnalysisOutput:
    backbone = inputs.backbones[0]
    model, sums = backbone.build_model(inputs.device), CovarianceAccumulator()
    for batch in inputs.subsets[0].iter_batches(BATCH_SIZE, f"spectrum {backbone.card.name}"):
        with torch.inference_mode():
            sums.update(extract_pooled(model, batch.images.to(inputs.device)))
    values = sums.compute_eigenvalues()
    rank = compute_effective_rank(values)
    shares = values / values.sum()
    most = min(len(values), sums.num_images - 1)  # n images span n - 1 directions around their mean
    numbers = {"eigenvalues": values.tolist(), "effective_rank": rank, "most": most, "width": len(values)}
    keep = shares > MIN_SHARE
    curve = PlotCurve((np.flatnonzero(keep) + 1).tolist(), shares[keep].tolist())
    title = f"{backbone.label}, {inputs.caption}\neffective rank {rank:.1f} of {most} possible"
    figure = draw_curves(
        {backbone.label: curve}, title, ("direction", "share of the variance"), log_scale=(False, True)
    )
    rows = [(place, value, share) for place, (value, share) in enumerate(zip(values, shares, strict=True), 1)]
    table = encode_csv(("direction", "eigenvalue", "share"), rows)
    return AnalysisOutput(numbers, {"spectrum.csv": table, **render_figure(figure, "spectrum")})


def summarize_analysis(analysis: Analysis) -> list[str]:
    """What came out, in lines."""
    numbers = analysis.numbers
    return [f"effective rank {numbers['effective_rank']:.2f} of {numbers['most']} possible"]
