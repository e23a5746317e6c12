"""The notebooks run from their first cell to their last, at the tier smoke."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.docs.notebooks import NOTEBOOKS, execute_notebook

EACH_NOTEBOOK = pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)


@pytest.mark.soak
@EACH_NOTEBOOK
def test_notebooks_run(path: Path, tmp_path: Path) -> None:
    for package in ("nbclient", "nbformat", "ipykernel"):
        pytest.importorskip(package)
    notebook = execute_notebook(path, tmp_path)
    executed = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in executed)
    assert (tmp_path / "runs").is_dir()


@EACH_NOTEBOOK
def test_notebooks_show_what_they_give(path: Path) -> None:
    """A reader on a code host sees outputs; none of them is an error or names a folder of a machine."""
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert len(outputs) >= len(cells) / 2
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert "/tmp/" not in path.read_text(encoding="utf-8")
