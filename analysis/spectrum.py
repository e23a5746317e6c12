"""Compute the spectrum of a backbone's pooled features: eigenvalues of their covariance, and the effective rank."""

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
from engine.device import convert_to_float64
from foundation.errors import BenchError, UserError

METHOD_VERSION = 1
BATCH_SIZE = 64
"""Images per forward pass; another value changes results only by rounding."""

MIN_SHARE = 1e-10
"""Directions with a smaller fraction of the variance are rounding errors; the logarithmic figure omits them."""


class CovarianceAccumulator:
    """Accumulate the covariance of feature vectors batch by batch, in float64.

    Example:
        >>> sums = CovarianceAccumulator()
        >>> sums.update(torch.tensor([[1.0, 0.0], [3.0, 0.0]]))
        >>> sums.compute_eigenvalues().tolist()
        [2.0, 0.0]
    """

    def __init__(self) -> None:
        self.num_images = 0
        self._shift: Tensor | None = None
        self._sum: Tensor | None = None
        self._outer_sum: Tensor | None = None

    def update(self, features: Tensor) -> None:
        """Add features (n, channels) of n images.

        Raises:
            BenchError: the features are not finite.
        """
        # Only the sum (C,) and the sum of outer products (C, C) are stored, independent of the number of images
        values = convert_to_float64(features).cpu()
        if not bool(values.isfinite().all()):
            raise BenchError("the features are not finite; check the start weights")
        # All values are shifted by the mean of the first batch: the difference of two large sums of squares would
        # lose its digits, while sums around the mean stay small
        if self._shift is None:
            self._shift = values.mean(0)
            self._sum = torch.zeros_like(self._shift)
            self._outer_sum = torch.zeros(len(self._shift), len(self._shift), dtype=torch.float64)
        assert self._sum is not None and self._outer_sum is not None
        values = values - self._shift
        self._sum = self._sum + values.sum(0)
        self._outer_sum = self._outer_sum + values.T @ values
        self.num_images += len(values)

    def compute_eigenvalues(self) -> NDArray[np.float64]:
        """Return the eigenvalues of the covariance (divisor n - 1), largest first, shape (channels,).

        Raises:
            UserError: fewer than two images were added.
        """
        if self.num_images < 2 or self._sum is None or self._outer_sum is None:
            raise UserError(f"a spectrum needs two images or more, not {self.num_images}; raise --images")
        # sum (x - m)(x - m)' = sum x x' - n m m', with x and m both relative to the shift
        mean = self._sum / self.num_images
        covariance = (self._outer_sum - self.num_images * torch.outer(mean, mean)) / (self.num_images - 1)
        # eigvalsh sorts ascending; a covariance has no negative eigenvalues, so values below 0 are rounding errors
        return np.asarray(torch.linalg.eigvalsh(covariance).flip(0).clamp_min(0).numpy())


def compute_effective_rank(eigenvalues: NDArray[np.float64]) -> float:
    """Compute the effective rank: the exponential of the entropy of the eigenvalues as fractions of their sum.

    It measures how many directions carry the variance. Source: Roy and Vetterli 2007, applied to the eigenvalues of
    the covariance.

    Args:
        eigenvalues: eigenvalues of a covariance (channels,), none below 0.

    Raises:
        BenchError: all eigenvalues are 0.

    >>> round(compute_effective_rank(np.array([2.0, 2.0, 2.0, 0.0])), 6)
    3.0
    """
    # exp(H(p)) with p_i = eigenvalue_i / sum: k equal eigenvalues give k, a single dominant one gives 1
    total = float(eigenvalues.sum())
    if total <= 0:
        raise BenchError(
            "all images have the same features, so the effective rank is not defined; check the start weights"
        )
    # 0 log 0 is 0, but numpy gives NaN: leave these terms out
    shares = eigenvalues[eigenvalues > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))


def run_spectrum(request: SpectrumRequest) -> StoredAnalysis:
    """Compute the eigenvalues of the covariance of pooled features, and their effective rank.

    Raises:
        UserError: there are fewer than two images, or the request is wrong elsewhere.
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
    most = min(len(values), sums.num_images - 1)  # n points span at most n - 1 directions around their mean
    numbers = {"eigenvalues": values.tolist(), "effective_rank": rank, "most": most, "width": len(values)}
    keep = shares > MIN_SHARE
    curve = PlotCurve((np.flatnonzero(keep) + 1).tolist(), shares[keep].tolist())
    title = (
        f"{backbone.label}, {inputs.caption}\nspectrum of pooled features, effective rank {rank:.1f} of {most} possible"
    )
    figure = draw_curves(
        {backbone.label: curve},
        title,
        ("principal direction, by falling variance", "fraction of the variance"),
        log_scale=(False, True),
    )
    rows = [(place, value, share) for place, (value, share) in enumerate(zip(values, shares, strict=True), 1)]
    table = encode_csv(("direction", "eigenvalue", "share"), rows)
    return AnalysisOutput(numbers, {"spectrum.csv": table, **render_figure(figure, "spectrum")})


def summarize_analysis(analysis: Analysis) -> list[str]:
    """Return the main results as lines of text."""
    numbers = analysis.numbers
    return [f"effective rank {numbers['effective_rank']:.2f} of {numbers['most']} possible"]
