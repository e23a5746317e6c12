"""Execute the notebooks of the documentation; ``python -m tests.docs.notebooks`` stores their outputs in them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from tests.conftest import ROOT

NOTEBOOKS = ROOT / "docs" / "notebooks"


def execute_notebook(path: Path, folder: Path) -> Any:
    """Execute a notebook in a folder, with the rooms of this source tree, and return it with its outputs.

    Args:
        path: the notebook.
        folder: where it runs; what it writes stays there.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails.
    """
    import nbformat
    from nbclient import NotebookClient

    from tests.limits import HANG_SECONDS

    notebook = nbformat.read(path, as_version=4)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "BENCH_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    client = NotebookClient(notebook, timeout=HANG_SECONDS, kernel_name="python3")
    client.resources = {"metadata": {"path": str(folder)}}
    client.execute(env=environment)
    return notebook


def store_outputs(path: Path) -> None:
    """Execute a notebook and keep in it what a reader looks at: results and pictures, no progress and no warnings."""
    import nbformat

    with tempfile.TemporaryDirectory() as folder:
        notebook = execute_notebook(path, Path(folder))
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.metadata.pop("execution", None)
            cell.execution_count = None
            cell.outputs = [output for output in cell.outputs if is_kept(output)]
            for output in cell.outputs:
                if output.output_type == "execute_result":
                    output.execution_count = None
    nbformat.write(notebook, path)


def is_kept(output: Any) -> bool:
    """Whether an output belongs into the stored notebook."""
    return output.output_type == "execute_result" or (output.output_type == "stream" and output.name == "stdout")


if __name__ == "__main__":
    for each in sorted(NOTEBOOKS.glob("*.ipynb")):
        store_outputs(each)
