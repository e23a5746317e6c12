"""The plots of scores: a legend that hides no curve, and names that lie on no bar."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import tracking.scoring.plots as plots
from tracking.scoring.rules import LASOT_OFFICIAL
from tracking.scoring.score import TrackerScore, score_sequence


def make_score(name: str, shift: float) -> TrackerScore:
    truth = np.tile([10.0, 10.0, 40.0, 40.0], (8, 1))
    scores = [
        score_sequence(truth + np.array([shift + number, 0, 0, 0]), truth, None, LASOT_OFFICIAL, name=f"s-{number}")
        for number in range(3)
    ]
    return TrackerScore(name, LASOT_OFFICIAL, tuple(scores), 3)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    drawn: dict[str, Figure] = {}

    def keep(figure: Figure, stem: Path) -> list[Path]:
        figure.draw_without_rendering()
        drawn[stem.name] = figure
        return []

    monkeypatch.setattr(plots, "_save_figure", keep)
    return drawn


def test_a_large_legend_stands_below_the_curves(figures: dict[str, Figure]) -> None:
    plots.draw_score_plots(Path(), "a set", [make_score(f"tracker {number}", number) for number in range(12)])
    for figure in figures.values():
        (legend,), (axes,) = figure.legends, figure.axes
        assert len(legend.get_texts()) == 12
        assert legend.get_window_extent().y1 <= axes.get_window_extent().y0
        assert legend.get_window_extent().y0 >= 0


def test_differences_name_both_ends_below_the_bars(figures: dict[str, Figure]) -> None:
    plots.draw_score_plots(Path(), "a set", [make_score("a " * 40, 1), make_score("b " * 40, 5)])
    (axes,) = figures["difference"].axes
    assert not axes.texts
    assert "3 sequences, from s-" in axes.get_xlabel()
    title = axes.title.get_window_extent()
    assert 0 <= title.x0 <= title.x1 <= figures["difference"].bbox.x1


def test_the_plot_of_a_run_names_its_tracker() -> None:
    image = plots.draw_success_plot("a set", make_score("vit_pico", 3))
    assert image.size == (572, 462)
    assert np.asarray(image).std() > 10
