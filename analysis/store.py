"""Where analyses are kept: a folder each under ``analysis/`` of the store, never overwritten. Imports no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from analysis.record import RECORD_FILE, Analysis, dump_analysis, read_analysis
from foundation.errors import RecordError
from foundation.files import require_writable, sha256_file, write_atomic
from results.records.store import attempts, claim, next_attempt

FOLDER = "analysis"


class Kept(NamedTuple):
    """An analysis: its folder, its record, and whether it was there already."""

    folder: Path
    analysis: Analysis
    from_record: bool


class Made(NamedTuple):
    """An analysis just done: its record without hashes of files, and the files by name."""

    analysis: Analysis
    files: Mapping[str, bytes]


def kept_or_made(root: Path, name: str, analysis_id: str, make: Callable[[], Made], fresh: bool = False) -> Kept:
    """Find an analysis done, or do it.

    Files are written whole when everything has been computed, the record last; a folder without a record is of an
    analysis that was broken off, and is filled.

    Args:
        root: the store.
        name: what the folder is called, before the id.
        analysis_id: of what is asked.
        make: does it.
        fresh: do it anew, into a folder of its own.

    Raises:
        UserError: the store cannot be written, or another process is at the same analysis.
        RecordError: the record there does not hold, or a file beside it is not what was written.
    """
    stem = f"{FOLDER}/{name}-{analysis_id}"
    if not fresh and (found := _done(root, stem, analysis_id)):
        return found
    require_writable(root)
    made = make()
    existing = attempts(root, stem)
    folder = next_attempt(root, stem) if fresh or not existing else existing[-1]
    with claim(folder):
        if (folder / RECORD_FILE).exists():  # another process was at it too, and was faster
            return Kept(folder, _checked(folder, analysis_id), True)
        for file, content in made.files.items():
            write_atomic(folder / file, content)
        hashes = {file: hashlib.sha256(content).hexdigest() for file, content in made.files.items()}
        analysis = Analysis.model_validate({**made.analysis.model_dump(), "files": hashes})
        write_atomic(folder / RECORD_FILE, dump_analysis(analysis))
    return Kept(folder, analysis, False)


def _done(root: Path, stem: str, analysis_id: str) -> Kept | None:
    existing = attempts(root, stem)
    if not existing or not (existing[-1] / RECORD_FILE).exists():
        return None
    return Kept(existing[-1], _checked(existing[-1], analysis_id), True)


def _checked(folder: Path, analysis_id: str | None = None) -> Analysis:
    analysis = read_analysis(folder)
    if analysis_id not in (None, analysis.analysis_id):
        raise RecordError(f"{folder / RECORD_FILE} is of analysis {analysis.analysis_id}, not {analysis_id}; move it")
    for name, expected in analysis.files.items():
        path = folder / name
        if not path.is_file() or sha256_file(path) != expected:
            raise RecordError(f"{path} is missing or not what was written; run the analysis anew with --fresh")
    return analysis


class Scanned(NamedTuple):
    """The analyses below some stores, newest attempt of each, and the faults of those that cannot be read."""

    kept: list[Kept]
    faults: list[str]


def scan_analyses(roots: Iterable[Path]) -> Scanned:
    """Every analysis below the stores, in path order, for a page or a list; a broken one is named, never skipped.

    Args:
        roots: folders of runs; one without analyses gives none.
    """
    newest: dict[tuple[Path, str], Kept] = {}
    faults = []
    for root in roots:
        for path in sorted((root / FOLDER).glob(f"*/{RECORD_FILE}")):
            try:
                analysis = _checked(path.parent)
            except RecordError as error:
                faults.append(str(error))
                continue
            stem = str(path.parent.relative_to(root)).partition(analysis.analysis_id)[0] + analysis.analysis_id
            done = [folder for folder in attempts(root, stem) if (folder / RECORD_FILE).exists()]
            if done[-1:] == [path.parent]:
                newest[root, analysis.analysis_id] = Kept(path.parent, analysis, True)
    return Scanned(list(newest.values()), faults)
