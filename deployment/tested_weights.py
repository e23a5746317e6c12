"""Find the weights that a finished run of classification or segmentation was tested with."""

from __future__ import annotations

import re
from pathlib import Path

from foundation.errors import UserError
from results.records.record import Record

_CHOSEN = re.compile(
    r"(?:(?P<trial>lr[0-9.e+-]+-decay[0-9.e+-]+), )?(?:epoch|iteration) (?P<step>[0-9]+)(?P<last>, the last.*)?"
)
"""What a run's selection says; the name of a trial holds no slash, so that a record cannot name another folder."""


def find_tested_weights(run_dir: Path, record: Record) -> Path:
    """Return the file with the weights that a finished run was tested with.

    Args:
        run_dir: folder of the run.
        record: its record.

    Raises:
        UserError: the run trained no network, is not complete, or its weights were removed.
    """
    selection = record.result.selection if record.status == "complete" and record.result else None
    if selection is None:
        raise UserError(f"{run_dir} is not complete ({record.status}); finish it with the command that started it")
    found = _CHOSEN.fullmatch(selection.chosen)
    if found is None:
        raise UserError(
            f"{run_dir} is a {record.protocol} run of {record.task} and trained no network ({selection.chosen}); "
            "name a run that trains one, such as one of the protocol finetune"
        )
    is_last = found["last"] is not None
    # after a search on val the winner was trained once more on train and val, in a folder of its own
    folder = run_dir / ("final" if found["trial"] and is_last else found["trial"] or "")
    path = folder / "checkpoints" / f"{'last' if is_last else 'best'}_{int(found['step']):08d}.pth"
    if not path.is_file():
        raise UserError(f"{path} with the tested weights is no longer there; restore it, or run again with --fresh")
    return path
