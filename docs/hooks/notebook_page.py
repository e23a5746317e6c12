"""Write a notebook as a page: its texts, its code, and the outputs that it was stored with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


def render_notebook(content: str) -> str:
    """Return the Markdown of a notebook.

    Args:
        content: the notebook's JSON, format 4.
    """
    return "\n\n".join(part for cell in json.loads(content)["cells"] for part in _render_cell(cell)) + "\n"


def _render_cell(cell: dict[str, Any]) -> Iterator[str]:
    source = "".join(cell["source"]).strip()
    if cell["cell_type"] == "markdown":
        yield source
    elif cell["cell_type"] == "code":
        yield f"```python\n{source}\n```"
        for output in cell["outputs"]:
            yield from _render_output(output)


def _render_output(output: dict[str, Any]) -> Iterator[str]:
    """The picture of an output where it has one, else its text."""
    data = output.get("data", {})
    if "image/png" in data:
        width = output.get("metadata", {}).get("image/png", {}).get("width", 600)
        yield f'<img alt="output" width="{width}" src="data:image/png;base64,{"".join(data["image/png"]).strip()}">'
    elif "image/svg+xml" in data:
        yield "".join(data["image/svg+xml"])
    elif text := "".join(output.get("text", data.get("text/plain", ""))).rstrip():
        yield f"```text\n{text}\n```"
