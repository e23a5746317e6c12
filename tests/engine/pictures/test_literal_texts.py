"""Names in figures are shown as they are, whatever characters they have."""

import io
import warnings

import pytest
from matplotlib.figure import Figure

from engine.pictures.literal_texts import show_literal_texts

HOSTILE = "a$\\frac{$\x1b[2Jb"


def draw_names() -> Figure:
    figure = Figure(layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], label=HOSTILE)
    axes.set(title=HOSTILE, xlabel=HOSTILE)
    axes.set_yticks([0, 1], labels=[HOSTILE, HOSTILE])
    axes.legend(title=HOSTILE)
    return figure


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_hostile_names_are_drawn_without_a_formula_and_without_a_warning(kind: str) -> None:
    stream = io.BytesIO()
    figure = draw_names()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with show_literal_texts(figure):
            figure.savefig(stream, format=kind)
    assert stream.getvalue()
    assert figure.axes[0].get_title() == "a$\\frac{$\\u001b[2Jb"


def test_without_it_the_name_stops_the_drawing() -> None:
    with pytest.raises(ValueError, match="ParseSyntaxException"):
        draw_names().savefig(io.BytesIO())
