"""Show names in figures of matplotlib as they are: a dollar sign begins no formula, a control character is a code."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.text import Text

from foundation.display_text import escape_controls


@contextmanager
def show_literal_texts(figure: Figure) -> Iterator[None]:
    r"""Take all texts of a figure literally while it is saved.

    A tracker whose folder is called ``$\frac{$`` would stop the drawing, and an escape character give a warning.

    Args:
        figure: the drawn figure.
    """
    for text in figure.findobj(Text):
        text.set_parse_math(False)
        if (shown := escape_controls(text.get_text())) != text.get_text():
            text.set_text(shown)
    # for the labels of axes that are made while it is drawn; a letter that the font does not have is an empty box
    with mpl.rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        yield
