"""Draw success, precision and normalized precision plots in the form that is usual in the field, as PNG and PDF."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from engine.pictures.literal_texts import show_literal_texts
from foundation.files import write_atomic
from tracking.data.boxes import FloatArray
from tracking.scoring.metrics import NORM_PRECISION_THRESHOLDS, PRECISION_THRESHOLDS_PX
from tracking.scoring.report import compute_score_differences, rank_trackers
from tracking.scoring.score import TrackerScore

_LINE_STYLES = ("-", "--", "-.", ":")
MAX_INNER_LEGEND = 4
"""With more trackers the legend stands below the plot."""
_FILE_STEMS = {"normalized_precision": "normalised_precision"}
"""Names of plot files that differ from the name of the curve in ``MetricCurves``."""


def draw_score_plots(folder: Path, set_title: str, scores: Sequence[TrackerScore]) -> list[Path]:
    """Write the plots of the rules' metrics and, for two trackers, of their difference.

    Args:
        folder: folder for the plots, which exists.
        set_title: name of the test set.
        scores: scores of the trackers, all with the same rules.

    Returns:
        Paths of the files.
    """
    rules = scores[0].rules
    levels = np.linspace(0, 1, rules.num_thresholds)
    # curve, metric, axis labels, thresholds, heading
    kinds: list[tuple[str, str, str, str, FloatArray, str]] = [
        ("success", rules.metrics[0], "Overlap threshold", "Success rate", levels, "Success plots of OPE"),
    ]
    if "P" in rules.metrics:
        kinds.append(
            (
                "precision",
                "P",
                "Location error threshold (px)",
                "Precision",
                PRECISION_THRESHOLDS_PX,
                "Precision plots of OPE",
            )
        )
    if "P_norm" in rules.metrics:
        label, heading = "Normalized location error threshold", "Normalized precision plots of OPE"
        kinds.append(
            ("normalized_precision", "P_norm", label, "Normalized precision", NORM_PRECISION_THRESHOLDS, heading)
        )
    written = []
    for curve, metric, x_label, y_label, at, heading in kinds:
        figure, axes = _make_figure(heading, set_title, scores)
        # the legend lists the best tracker first; partial scores are not ranked
        order = (
            sorted(rank_trackers(scores), key=lambda s: -s.metric_values()[metric])
            if not _has_partial_score(scores)
            else scores
        )
        for position, score in enumerate(order):
            mark = " PARTIAL" if score.is_partial else ""
            legend = f"[{score.metric_values()[metric]:.1f}] {score.tracker_name}{mark}"
            # matplotlib repeats its colors after ten curves, so the line style changes then
            axes.plot(at, getattr(score.curves, curve), _LINE_STYLES[position // 10 % 4], label=legend, linewidth=2)
        axes.set(xlabel=x_label, ylabel=y_label, xlim=(0, at[-1]), ylim=(0, 1))
        axes.grid(True, linestyle=":", color="0.6")
        if len(scores) <= MAX_INNER_LEGEND:
            axes.legend(loc="lower left" if curve == "success" else "lower right", title=f"{metric}, %", fontsize=9)
        else:  # a large legend would hide the curves
            figure.legend(loc="outside lower center", title=f"{metric}, %", fontsize=9, ncols=2)
            figure.set_figheight(5.2 + 0.1 * len(scores))
        written += _save_figure(figure, folder / _FILE_STEMS.get(curve, curve))
    if len(scores) == 2:
        written += _draw_differences(folder, set_title, scores[0], scores[1])
    return written


def draw_success_plot(set_title: str, score: TrackerScore) -> Image.Image:
    """Draw the success curve of one tracker, as in ``draw_score_plots`` but smaller.

    Args:
        set_title: name of the test set.
        score: the score of the tracker.
    """
    figure, axes = _make_figure("Success plot of OPE", set_title, (score,), size=(5.2, 4.2))
    levels = np.linspace(0, 1, score.rules.num_thresholds)
    metric = score.rules.metrics[0]
    axes.plot(
        levels, score.curves.success, linewidth=2, label=f"[{score.metric_values()[metric]:.1f}] {score.tracker_name}"
    )
    axes.set(xlabel="Overlap threshold", ylabel="Success rate", xlim=(0, 1), ylim=(0, 1))
    axes.grid(True, linestyle=":", color="0.6")
    axes.legend(loc="upper right", title=f"{metric}, %", fontsize=9)
    stream = io.BytesIO()
    with show_literal_texts(figure):
        figure.savefig(stream, format="png", dpi=110, metadata={"Software": None})
    return Image.open(stream).convert("RGB")


def _draw_differences(folder: Path, set_title: str, first: TrackerScore, second: TrackerScore) -> list[Path]:
    """Draw the difference of two trackers as one bar per sequence, sorted."""
    pairs = compute_score_differences(first, second)
    values = np.array([value for _, value in pairs])
    figure, axes = _make_figure(
        f"{first.tracker_name} minus {second.tracker_name}, by sequence", set_title, (first, second)
    )
    axes.bar(np.arange(len(values)), values, width=1.0, color=np.where(values >= 0, "tab:blue", "tab:orange"))
    axes.axhline(0, color="black", linewidth=0.8)
    name = first.rules.metrics[0]
    # only the sequences at both ends are named, below the bars: a label for each would not be readable, and one beside
    # its bar would lie on the next one
    (most, high), (least, low) = pairs[0], pairs[-1]
    axes.set(
        xlabel=f"{len(pairs)} sequences, from {most} ({high:+.1f}) to {least} ({low:+.1f})",
        ylabel=f"difference in {name}, points",
        xlim=(-0.5, len(pairs) - 0.5),
        xticks=[],
    )
    axes.grid(True, axis="y", linestyle=":", color="0.6")
    return _save_figure(figure, folder / "difference")


def _make_figure(
    heading: str, set_title: str, scores: Sequence[TrackerScore], size: tuple[float, float] = (6.4, 5.2)
) -> tuple[Figure, Axes]:
    """Create a figure with a title that names the rules and marks partial scores."""
    # not through pyplot, whose global state needs a display and is not safe in threads
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    if _has_partial_score(scores):
        least = min(len(score.sequences) for score in scores)
        set_title += f" - PARTIAL: {least} of {scores[0].expected_sequences} sequences"
    heading = textwrap.fill(heading, 80)  # it may hold the names of two trackers
    axes.set_title(f"{heading}\n{set_title}\n{scores[0].rules.name}", fontsize=10)
    return figure, axes


def _has_partial_score(scores: Sequence[TrackerScore]) -> bool:
    return any(score.is_partial for score in scores)


def _save_figure(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure as PNG and PDF and return the paths."""
    paths = []
    # without the writing program and time, so that equal scores give equal files
    for kind, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
        stream = io.BytesIO()
        with show_literal_texts(figure):
            figure.savefig(stream, format=kind, dpi=150, metadata=metadata)
        paths.append(stem.with_suffix(f".{kind}"))
        write_atomic(paths[-1], stream.getvalue())
    return paths
