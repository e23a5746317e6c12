"""Draw figures and render them to PNG and SVG bytes: heat map, scatter over depth, curves.

Global matplotlib settings are not changed.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray
from PIL import Image

from engine.pictures.encoding import encode_jpeg
from engine.pictures.literal_texts import show_literal_texts

COLORS = ("#1f5fa8", "#d1641a", "#3a8a3f", "#8a4fa8", "#a83a3a", "#4d4d4d")
MARKERS = "osD^vP"


class PlotCurve(NamedTuple):
    """One line of a figure: positions ``x``, values ``y``, and interval ends ``low`` and ``high`` if there are any."""

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


# no software version and no date in the files: the same figure must give the same bytes on every day
_METADATA: dict[str, dict[str, str | None]] = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}
DPI = 150
"""Dots per inch of all figures."""


def render_figure(figure: Figure, stem: str) -> dict[str, bytes]:
    """Render a figure of lines to ``stem.png`` and ``stem.svg``; the same figure gives the same bytes.

    Args:
        figure: the drawn figure.
        stem: file name without its suffix.

    Returns:
        File contents by file name.
    """
    # matplotlib derives the ids inside an SVG from this salt; without one they are random in every file
    with mpl.rc_context({"svg.hashsalt": "bench"}):
        return {f"{stem}.{kind}": _save_figure(figure, kind) for kind in _METADATA}


def render_photo_sheet(figure: Figure, stem: str) -> dict[str, bytes]:
    """Render a figure of photographs to ``stem.jpg``, small enough for a page; the same figure gives the same bytes.

    Args:
        figure: the drawn figure.
        stem: file name without its suffix.

    Returns:
        The file content by file name.
    """
    return {f"{stem}.jpg": encode_jpeg(Image.open(io.BytesIO(_save_figure(figure, "png"))))}


def _save_figure(figure: Figure, kind: str) -> bytes:
    stream = io.BytesIO()
    with show_literal_texts(figure):
        figure.savefig(stream, format=kind, dpi=DPI, metadata=_METADATA[kind])
    return stream.getvalue()


def wrap_title(title: str, width_inches: float, font_size: float = 10) -> str:
    """Break a title into lines that fit a figure.

    Args:
        title: the title; its own line breaks are kept.
        width_inches: width of the figure, inches.
        font_size: font size of the title, points.
    """
    # A line holds about 118 / font_size characters per inch; at least 20, so that a narrow figure has no tower of words
    room = max(20, int(width_inches * 118 / font_size))
    return "\n".join(line for part in title.splitlines() for line in _wrap_evenly(part, room))


def _wrap_evenly(text: str, room: int) -> list[str]:
    """Break a text into as few lines as ``room`` characters allow, of similar length: no last line of one word."""
    lines = textwrap.wrap(text, room)
    for width in range(room - 1, max(map(len, text.split()), default=1) - 1, -1):
        narrower = textwrap.wrap(text, width)
        if len(narrower) > len(lines):
            break
        lines = narrower
    return lines


def draw_heatmap(
    values: NDArray[np.float64],
    row_names: Sequence[str],
    column_names: Sequence[str],
    title: str,
    axis_labels: tuple[str, str],
) -> Figure:
    """Draw a heat map of values from 0 to 1, the first row at the bottom; small maps also display the numbers.

    Args:
        values: values (rows, columns).
        row_names: names of the layers on the vertical axis.
        column_names: names of the layers on the horizontal axis.
        title: title of the figure.
        axis_labels: labels of the vertical and the horizontal axis, in this order.
    """
    high, wide = values.shape
    # 0.42 inch per cell leaves room for a number of three characters; the rest is for ticks, title and color bar; a map
    # of few cells is drawn larger, because its title needs the room
    side = max(0.42, 3.6 / max(high, wide))
    figure = Figure(figsize=(2.4 + side * wide, 1.8 + side * high), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(values, origin="lower", cmap="magma", vmin=0, vmax=1, aspect="equal")
    axes.set_xticks(range(wide), _shorten_names(column_names), fontsize=8)
    axes.set_yticks(range(high), _shorten_names(row_names), fontsize=8)
    axes.set_xlabel(wrap_title(axis_labels[1], side * wide + 1, 9), fontsize=9)
    axes.set_ylabel(wrap_title(axis_labels[0], side * high + 1, 9), fontsize=9)
    figure.suptitle(wrap_title(title, side * wide + 2), fontsize=10)
    if max(high, wide) <= 16:  # numbers in a larger map are too small to read
        for row in range(high):
            for column in range(wide):
                dark = values[row, column] < 0.6  # magma is dark below this value, so the text must be white
                # without the leading zero, and without the sign of a rounded -0.00
                text = f"{values[row, column]:.2f}".replace("0.", ".").replace("-.00", ".00")
                color = "white" if dark else "black"
                axes.text(column, row, text, ha="center", va="center", fontsize=7, color=color)
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label("CKA (1: alike up to rotation and scale)", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    return figure


def _shorten_names(names: Sequence[str]) -> list[str]:
    """Shorten layer names for ticks: ``norm1 3`` becomes ``3``, ``final norm`` becomes ``final``."""
    return [name.rpartition(" ")[2] if name.rpartition(" ")[2].isdecimal() else name.split()[0] for name in names]


def draw_depth_scatter(
    panels: Mapping[str, list[list[float]]], title: str, reference_lines: Mapping[str, tuple[float, str]]
) -> Figure:
    """Draw one dot per head over depth and a line through the means of the blocks; one panel per quantity.

    Args:
        panels: values by block and head, under the label of the panel's vertical axis.
        title: title of the figure.
        reference_lines: a level to compare with and its name, under the same labels.
    """
    figure = Figure(figsize=(1.2 + 4.3 * len(panels), 3.7), layout=ConstrainedLayoutEngine(wspace=0.06))
    figure.suptitle(wrap_title(title, 1.2 + 4.3 * len(panels)), fontsize=10)
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (label, blocks) in zip(grid, panels.items(), strict=True):
        for place, heads in enumerate(blocks):
            axes.scatter(
                [place] * len(heads), heads, s=16, color=COLORS[0], alpha=0.55, linewidths=0,
                label="one head" if place == 0 else None,  # only once, or the legend would repeat it per block
            )  # fmt: skip
        means = [sum(heads) / len(heads) for heads in blocks]
        axes.plot(range(len(blocks)), means, color=COLORS[1], linewidth=1.8, marker="_", label="mean of heads")
        if label in reference_lines:
            level, name = reference_lines[label]
            axes.axhline(level, color="0.45", linewidth=0.9, linestyle="--", label=name)
        # the axis starts at 0, so that small differences between heads do not look large
        top = max([*(value for heads in blocks for value in heads), reference_lines.get(label, (0.0, ""))[0]])
        axes.set(xlabel="block", ylabel=label, ylim=(0, 1.08 * top))
        axes.set_xticks(range(len(blocks)))
        _style_axes(axes)
        axes.legend(fontsize=7.5, frameon=False, loc="lower right")
    return figure


def draw_curves(
    curves: Mapping[str, PlotCurve],
    title: str,
    axis_labels: tuple[str, str],
    log_scale: tuple[bool, bool] = (False, False),
    integer_ticks: bool = False,
) -> Figure:
    """Draw curves with a marker at each value, and with error bars where they have intervals.

    Args:
        curves: the curves by name.
        title: title of the figure.
        axis_labels: labels of the horizontal and the vertical axis.
        log_scale: whether the horizontal and the vertical axis are logarithmic.
        integer_ticks: put a tick at every position and label it as an integer.
    """
    figure = Figure(figsize=(6.4, 4.4 + 0.1 * len(curves)), layout="constrained")
    axes = figure.add_subplot()
    places = sorted({x for line in curves.values() for x in line.x})
    marked = len(places) <= 40  # more markers would merge into a thick line (a spectrum has hundreds of values)
    for place, (name, line) in enumerate(curves.items()):
        style: dict[str, Any] = {"color": COLORS[place % len(COLORS)], "linewidth": 1.6, "label": name}
        if marked:
            style |= {"marker": MARKERS[place % len(MARKERS)], "markersize": 5}
        if line.low is not None and line.high is not None:
            # matplotlib takes the lengths of the two halves of a bar, not its ends
            reach = [np.subtract(line.y, line.low), np.subtract(line.high, line.y)]
            axes.errorbar(
                shift_positions(line.x, place, len(curves), log_scale[0]),
                line.y,
                reach,
                capsize=3,
                elinewidth=1,
                **style,
            )
        else:
            axes.plot(line.x, line.y, **style)
    axes.set(xlabel=axis_labels[0], ylabel=axis_labels[1])
    if log_scale[0]:
        axes.set_xscale("log")
        if len(places) <= 12:  # label the actual positions instead of powers of ten
            axes.set_xticks(places, [f"{x:g}" for x in places])
            axes.minorticks_off()
    if integer_ticks:
        axes.set_xticks(places, [f"{x:.0f}" for x in places])
    if log_scale[1]:
        axes.set_yscale("log")
    elif axis_labels[1].endswith("%"):  # Student's t knows no bounds, but no value lies beyond them
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, -1.0), min(high, 101.0))
    axes.set_title(wrap_title(title, 5.6), fontsize=10)
    _style_axes(axes)
    if len(curves) > 1:
        figure.legend(fontsize=8, frameon=False, loc="outside lower center", ncols=2)
    return figure


def shift_positions(places: Sequence[float], curve: int, num_curves: int, is_log: bool) -> list[float]:
    """Shift the positions of a curve a little, so that its error bars do not hide those of the other curves.

    Args:
        places: the positions.
        curve: index of the curve.
        num_curves: number of curves in the figure.
        is_log: whether the axis is logarithmic.

    >>> shift_positions([1.0, 3.0], 0, 1, False)
    [1.0, 3.0]
    """
    step = 0.012 * (curve - (num_curves - 1) / 2)  # a little more than the width of a cap
    low, high = min(places), max(places)
    if is_log:
        return [place * (high / low) ** step for place in places]
    return [place + step * (high - low) for place in places]


def _style_axes(axes: Axes) -> None:
    axes.grid(True, linestyle=":", color="0.8")
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
