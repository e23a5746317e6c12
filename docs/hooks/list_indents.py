"""Turn the lists of CommonMark into those of Python-Markdown: four spaces a level, and an empty line before a list."""

from __future__ import annotations

import re

MARKER = re.compile(r"( *)([-*+]|\d+[.)]) +(?=\S)")


def indent_lists(text: str) -> str:
    """Indent what belongs to list items by four spaces for each level.

    In CommonMark a line belongs to an item if it is indented as far as the item's text (two spaces after "- ", three
    after "1. "). Python-Markdown wants multiples of four. Blocks of code in items move with them.

    Args:
        text: a page of Markdown.
    """
    lines: list[str] = []
    levels: list[int] = []  # of the open items: the column at which their text begins
    fence = ""
    for line in text.split("\n"):
        if not line.strip():
            lines.append("")
            continue
        indent = len(line) - len(line.lstrip())
        if fence:
            lines.append(_move(line, levels))
            fence = "" if line.strip() == fence else fence
            continue
        previous = lines[-1] if lines else ""
        was_inside = bool(levels)
        # a line that is not indented ends a list only after an empty line, or by a marker; else it goes on lazily
        if not levels or not previous or MARKER.match(line) or indent >= levels[-1]:
            while levels and indent < levels[-1]:
                levels.pop()
        found = MARKER.match(line)
        if line.lstrip().startswith("```"):
            fence = "```"
        if found and len(found[1]) <= (levels[-1] if levels else 0) + 3:
            if previous and not was_inside:
                lines.append("")
            lines.append(_move(line, levels))
            levels.append(found.end())
        else:
            # a table in an item needs an empty line before it too
            if line.lstrip().startswith("|") and previous and not previous.lstrip().startswith("|"):
                lines.append("")
            lines.append(_move(line, levels))
    return "\n".join(lines)


def _move(line: str, levels: list[int]) -> str:
    """A line with the indent of its open items in place of the one that CommonMark asks for."""
    indent = len(line) - len(line.lstrip())
    inside = levels[-1] if levels else 0
    return " " * (4 * len(levels) + max(indent - inside, 0)) + line.lstrip()
