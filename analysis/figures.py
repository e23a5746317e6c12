"""Figures as PNG and SVG bytes: heat map, depth scatter, curves. No global state of matplotlib is touched for long."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

COLOURS = ("#1f5fa8", "#d1641a", "#3a8a3f", "#8a4fa8", "#a83a3a", "#4d4d4d")
MARKS = "osD^vP"


class Curve(NamedTuple):
    """A line of a figure: places, values, and where there are any the ends of their intervals."""

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


_METADATA: dict[str, dict[str, str | None]] = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}


def save(figure: Figure, stem: str, kinds: Sequence[str] = ("png", "svg")) -> dict[str, bytes]:
    """The figure as ``stem.png`` (150 dpi) and ``stem.svg``; the same figure gives the same bytes.

    Args:
        figure: drawn.
        stem: of the file names.
        kinds: a sheet of photographs is better as PNG alone.
    """
    files = {}
    with mpl.rc_context({"svg.hashsalt": "bench"}):
        for kind in kinds:
            metadata = _METADATA[kind]
            stream = io.BytesIO()
            figure.savefig(stream, format=kind, dpi=150, metadata=metadata)
            files[f"{stem}.{kind}"] = stream.getvalue()
    return files


def fold(title: str, inches: float, size: float = 10) -> str:
    """A title in lines that fit a figure of this width."""
    room = max(20, int(inches * 118 / size))
    return "\n".join(line for part in title.splitlines() for line in textwrap.wrap(part, room))


def heat_map(
    values: NDArray[np.float64], rows: Sequence[str], columns: Sequence[str], title: str, labels: tuple[str, str]
) -> Figure:
    """A matrix with its first row at the bottom, 0 to 1, each cell's value in it where there is room.

    Args:
        values: (rows, columns).
        rows, columns: names of the two sides' layers.
        title: above it.
        labels: of the two sides, rows first.
    """
    high, wide = values.shape
    figure = Figure(figsize=(2.6 + 0.42 * wide, 2.0 + 0.42 * high), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(values, origin="lower", cmap="magma", vmin=0, vmax=1, aspect="equal")
    axes.set_xticks(range(wide), _short(columns), fontsize=8)
    axes.set_yticks(range(high), _short(rows), fontsize=8)
    axes.set_xlabel(fold(labels[1], 0.42 * wide + 1, 9), fontsize=9)
    axes.set_ylabel(fold(labels[0], 0.42 * high + 1, 9), fontsize=9)
    axes.set_title(fold(title, 0.42 * wide + 1), fontsize=10)
    if max(high, wide) <= 16:
        for row in range(high):
            for column in range(wide):
                dark = values[row, column] < 0.6
                text = f"{values[row, column]:.2f}".replace("0.", ".").replace("-.00", ".00")
                colour = "white" if dark else "black"
                axes.text(column, row, text, ha="center", va="center", fontsize=6.5, color=colour)
    figure.colorbar(image, ax=axes, shrink=0.8, label="CKA")
    return figure


def _short(names: Sequence[str]) -> list[str]:
    """Layer names for ticks: the number of a block alone, or the first word."""
    return [name.rpartition(" ")[2] if name.rpartition(" ")[2].isdecimal() else name.split()[0] for name in names]


def depth_scatter(
    panels: Mapping[str, list[list[float]]], title: str, levels: Mapping[str, tuple[float, str]]
) -> Figure:
    """One dot a head and a line through the means, over depth; a panel for each quantity.

    Args:
        panels: by the label of the vertical axis: values by block and head.
        title: above.
        levels: by the same labels: a level to compare with, and what it is.
    """
    figure = Figure(figsize=(1.2 + 4.3 * len(panels), 3.7), layout="constrained")
    figure.suptitle(fold(title, 1.2 + 4.3 * len(panels)), fontsize=10)
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (label, blocks) in zip(grid, panels.items(), strict=True):
        for place, heads in enumerate(blocks):
            axes.scatter(
                [place] * len(heads), heads, s=16, color=COLOURS[0], alpha=0.55, linewidths=0,
                label="a head" if place == 0 else None,
            )  # fmt: skip
        means = [sum(heads) / len(heads) for heads in blocks]
        axes.plot(range(len(blocks)), means, color=COLOURS[1], linewidth=1.8, marker="_", label="mean of heads")
        if label in levels:
            level, name = levels[label]
            axes.axhline(level, color="0.45", linewidth=0.9, linestyle="--", label=name)
        top = max([*(value for heads in blocks for value in heads), levels.get(label, (0.0, ""))[0]])
        axes.set(xlabel="block", ylabel=label, ylim=(0, 1.08 * top))
        axes.set_xticks(range(len(blocks)))
        _plain(axes)
        axes.legend(fontsize=7.5, frameon=False, loc="lower right")
    return figure


def curves(
    lines: Mapping[str, Curve],
    title: str,
    labels: tuple[str, str],
    log: tuple[bool, bool] = (False, False),
    whole: bool = False,
) -> Figure:
    """Lines with a mark at each value, and bars where there are intervals.

    Args:
        lines: by name.
        title: above.
        labels: of the axes, horizontal first.
        log: whether the axes are logarithmic.
        whole: whether places are whole numbers, each with a tick.
    """
    figure = Figure(figsize=(6.4, 4.4 + 0.1 * len(lines)), layout="constrained")
    axes = figure.add_subplot()
    places = sorted({x for line in lines.values() for x in line.x})
    marked = len(places) <= 40
    for place, (name, line) in enumerate(lines.items()):
        style: dict[str, Any] = {"color": COLOURS[place % len(COLOURS)], "linewidth": 1.6, "label": name}
        if marked:
            style |= {"marker": MARKS[place % len(MARKS)], "markersize": 5}
        if line.low is not None and line.high is not None:
            reach = [np.subtract(line.y, line.low), np.subtract(line.high, line.y)]
            axes.errorbar(line.x, line.y, reach, capsize=3, elinewidth=1, **style)
        else:
            axes.plot(line.x, line.y, **style)
    axes.set(xlabel=labels[0], ylabel=labels[1])
    if log[0]:
        axes.set_xscale("log")
        if len(places) <= 12:
            axes.set_xticks(places, [f"{x:g}" for x in places])
            axes.minorticks_off()
    if whole:
        axes.set_xticks(places, [f"{x:.0f}" for x in places])
    if log[1]:
        axes.set_yscale("log")
    axes.set_title(fold(title, 5.6), fontsize=10)
    _plain(axes)
    if len(lines) > 1:
        figure.legend(fontsize=8, frameon=False, loc="outside lower center", ncols=2)
    return figure


def _plain(axes: Axes) -> None:
    axes.grid(True, linestyle=":", color="0.8")
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
