"""The name that a user gives a row with ``--label``, and when it is accepted."""

from __future__ import annotations

from foundation.display_text import format_one_line
from foundation.errors import UserError
from results.leaderboard.row_labels import MAX_LABEL_LENGTH


def require_row_label(label: str | None) -> str | None:
    """Return a label without blanks at its ends.

    Args:
        label: what the user gave; ``None``: the row is named after its backbone.

    Raises:
        UserError: it is empty, too long, not one line, or has control characters.
    """
    if label is None:
        return None
    text = label.strip()
    if not text:
        raise UserError("--label is empty; give the row a name, or leave it out")
    if len(text) > MAX_LABEL_LENGTH:
        raise UserError(f"--label has {len(text)} characters; a row has room for {MAX_LABEL_LENGTH}")
    if text != format_one_line(text):
        raise UserError(
            f"--label {format_one_line(text)!r} has line breaks, tabs or control characters; leave them out"
        )
    return text
