"""Success, precision and normalised precision plots in the field's form, as PNG and PDF."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from foundation.files import write_atomic
from tracking.scoring.metrics import ERRORS_NORM, ERRORS_PX, Array
from tracking.scoring.report import difference, ranked
from tracking.scoring.score import TrackerScore

_STYLES = ("-", "--", "-.", ":")


def draw(folder: Path, title: str, scores: Sequence[TrackerScore]) -> list[Path]:
    """Write the plots that the rules' metrics call for, and of two trackers their difference; returns the files."""
    rules = scores[0].rules
    levels = np.linspace(0, 1, rules.thresholds)
    kinds: list[tuple[str, str, str, str, Array, str]] = [
        ("success", rules.metrics[0], "Overlap threshold", "Success rate", levels, "Success plots of OPE"),
    ]
    if "P" in rules.metrics:
        kinds.append(
            ("precision", "P", "Location error threshold (px)", "Precision", ERRORS_PX, "Precision plots of OPE")
        )
    if "P_norm" in rules.metrics:
        label, heading = "Normalized location error threshold", "Normalized precision plots of OPE"
        kinds.append(("normalised", "P_norm", label, "Normalized precision", ERRORS_NORM, heading))
    written = []
    for curve, metric, x_label, y_label, at, heading in kinds:
        figure, axes = _figure(heading, title, scores)
        order = sorted(ranked(scores), key=lambda s: -s.values()[metric]) if not _partial(scores) else scores
        for position, score in enumerate(order):
            mark = " PARTIAL" if score.partial else ""
            legend = f"[{score.values()[metric]:.1f}] {score.tracker}{mark}"
            axes.plot(at, getattr(score.curves, curve), _STYLES[position // 10 % 4], label=legend, linewidth=2)
        axes.set(xlabel=x_label, ylabel=y_label, xlim=(0, at[-1]), ylim=(0, 1))
        axes.grid(True, linestyle=":", color="0.6")
        axes.legend(loc="lower left" if curve == "success" else "lower right", title=f"{metric}, %", fontsize=9)
        written += _save(figure, folder / ("normalised_precision" if curve == "normalised" else curve))
    if len(scores) == 2:
        written += _draw_difference(folder, title, scores[0], scores[1])
    return written


def _draw_difference(folder: Path, title: str, first: TrackerScore, second: TrackerScore) -> list[Path]:
    pairs = difference(first, second)
    values = np.array([value for _, value in pairs])
    figure, axes = _figure(f"{first.tracker} minus {second.tracker}, by sequence", title, (first, second))
    axes.bar(np.arange(len(values)), values, width=1.0, color=np.where(values >= 0, "tab:blue", "tab:orange"))
    axes.axhline(0, color="black", linewidth=0.8)
    name = first.rules.metrics[0]
    axes.set(
        xlabel=f"{len(pairs)} sequences, sorted", ylabel=f"difference in {name}, points", xlim=(-0.5, len(pairs) - 0.5)
    )
    for place, vertical in ((0, "top"), (len(pairs) - 1, "bottom")):
        side, shift = ("left", 8) if place == 0 else ("right", -8)
        axes.annotate(
            pairs[place][0],
            (place, values[place]),
            (shift, 0),
            textcoords="offset points",
            ha=side,
            va=vertical,
            fontsize=9,
        )
    axes.grid(True, axis="y", linestyle=":", color="0.6")
    return _save(figure, folder / "difference")


def _figure(heading: str, title: str, scores: Sequence[TrackerScore]) -> tuple[Figure, Axes]:
    """A figure without any global state of matplotlib; PNG is drawn by Agg."""
    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    axes = figure.add_subplot()
    if _partial(scores):
        least = min(len(score.sequences) for score in scores)
        title += f" - PARTIAL: {least} of {scores[0].expected} sequences"
    axes.set_title(f"{heading}\n{title}\n{scores[0].rules.name}", fontsize=10)
    return figure, axes


def _partial(scores: Sequence[TrackerScore]) -> bool:
    return any(score.partial for score in scores)


def _save(figure: Figure, stem: Path) -> list[Path]:
    paths = []
    for kind, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
        stream = io.BytesIO()
        figure.savefig(stream, format=kind, dpi=150, metadata=metadata)
        paths.append(stem.with_suffix(f".{kind}"))
        write_atomic(paths[-1], stream.getvalue())
    return paths
