"""Find the run to which a checkpoint file belongs. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from foundation.errors import UserError
from results.records.store import RECORD_FILE


def find_checkpoint_run(checkpoint: Path) -> Path:
    """Return the folder of the run to which a checkpoint belongs.

    Args:
        checkpoint: a file somewhere below the run's folder.

    Raises:
        UserError: it does not exist, or is in no run's folder.
    """
    checkpoint = checkpoint.expanduser()
    for folder in checkpoint.absolute().parents:
        if (folder / RECORD_FILE).is_file():
            return folder
    if not checkpoint.exists():
        raise UserError(f"there is no checkpoint at {checkpoint}; fix the path")
    raise UserError(
        f"{checkpoint} is not in the folder of a run, so nothing says what network it belongs to; add --backbone NAME, "
        "or --config FILE for a model of mmsegmentation"
    )
