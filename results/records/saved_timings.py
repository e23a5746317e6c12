"""Timings of backbones that ``bench profile --save`` keeps in a store, beside the runs, in ``STORE/timings/``.

A board takes them like the timings of records. Each measurement has a file of its own that is never rewritten; no
record and no ledger changes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field, ValidationError

from foundation.errors import RecordError, UserError
from foundation.files import sha256_chunks, write_atomic
from foundation.storage.fault_isolation import convert_faults
from foundation.storage.leftovers import clean_own_folder
from foundation.storage.regular_files import read_regular
from foundation.storage.write_faults import make_storage_error
from results.records.measurements import EfficiencyRecord
from results.records.strict_model import Name, PlainSettings, StrictModel, format_validation_errors

TIMINGS_FOLDER = "timings"
MAX_TIMING_BYTES = 1_000_000
"""A larger file is refused before it is read: a folder of runs may come from somebody else."""


class SavedTiming(StrictModel):
    """A measurement of a backbone outside of a run.

    Attributes:
        name: name of the backbone.
        card: its card with all defaults resolved, as in a record.
        source: SHA-256 of the source of a plug-in's backbone; ``None`` for others.
        device: ``cpu`` or ``cuda``.
        measured: when it was measured, UTC in ISO 8601.
        efficiency: counts and durations, as in a record; the counts include the card's classifier.
    """

    schema_version: Literal[1] = 1
    name: Name
    card: PlainSettings
    source: Name | None = None
    device: Name
    measured: str = Field(pattern=r"^\d{4}-\d\d-\d\dT[0-9:.+-]{8,30}$")  # as text, the newest is the greatest
    efficiency: EfficiencyRecord


class TimingScan(NamedTuple):
    """The saved timings of some stores, and one sentence for each file that cannot be read."""

    timings: list[SavedTiming]
    errors: list[str]


def write_timing(store: Path, timing: SavedTiming) -> Path:
    """Write a timing into a store, which is created if it does not exist, and return the path of the new file.

    Raises:
        UserError: the file cannot be written.
    """
    text = json.dumps(timing.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    name = re.sub(r"[^A-Za-z0-9_.]+", "_", timing.name).strip(".")[:100]
    size = "x".join(map(str, timing.efficiency.img_size))
    # the digest of the content: two measurements never share a file
    path = store / TIMINGS_FOLDER / f"{name}-{size}-{sha256_chunks([text.encode()])[:16]}.json"
    if path.parent.is_symlink():  # which no reader would follow
        raise UserError(f"cannot keep the timing in {path.parent}, which is a link; name another folder with --save")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        clean_own_folder(path.parent)
        write_atomic(path, text)
    except OSError as error:
        reason = make_storage_error(path, error).strerror
        raise UserError(
            f"cannot keep the timing in {path.parent} ({reason}); name another folder with --save"
        ) from error
    return path


def scan_timings(stores: Iterable[Path]) -> TimingScan:
    """Read the saved timings of stores, in the order of their paths; a folder without timings is no error."""
    timings, errors = [], []
    for store in sorted(set(stores)):
        for path in sorted((store / TIMINGS_FOLDER).glob("*.json")):
            try:
                with convert_faults(f"cannot read the timing {path}"):
                    timings.append(_read_timing(path))
            except RecordError as error:
                errors.append(str(error))
    return TimingScan(timings, errors)


def list_stores(roots: Iterable[Path], run_folders: Iterable[Path]) -> set[Path]:
    """Return the folders in which timings may lie: the roots, and every folder between a root and a run.

    Args:
        roots: folders that are searched for runs.
        run_folders: folders of the runs that were found below them.
    """
    tops = set(roots)
    # many runs share a folder, and their parents are looked at once
    pending, found = {folder.parent for folder in run_folders}, set(tops)
    while pending:
        folder = pending.pop()
        if folder not in found and any(folder.is_relative_to(top) for top in tops):
            found.add(folder)
            pending.add(folder.parent)
    return found


def _read_timing(path: Path) -> SavedTiming:
    # a link in a foreign folder could point to a private file, of which an error message would quote a part
    try:
        if path.is_symlink() or path.parent.is_symlink():
            raise ValueError("it is a link or in a linked folder; copy the file")
        return SavedTiming.model_validate_json(read_regular(path, MAX_TIMING_BYTES).decode("utf-8"))
    except (OSError, ValueError) as error:
        why = format_validation_errors(error) if isinstance(error, ValidationError) else error
        raise RecordError(f"cannot read the timing {path}: {why}") from error
