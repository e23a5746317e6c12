"""Where analyses are kept: a folder each under ``analysis/`` of the store, never overwritten. Imports no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from analysis.record import ANALYSIS_FILE, Analysis, dump_analysis, read_analysis
from foundation.errors import RecordError
from foundation.files import ensure_writable_dir, sha256_file, write_atomic
from results.records.store import list_attempts, lock_folder, next_attempt_folder

ANALYSIS_FOLDER = "analysis"


class StoredAnalysis(NamedTuple):
    """An analysis: its folder, its record, and whether it was there already."""

    folder: Path
    analysis: Analysis
    from_record: bool


class NewAnalysis(NamedTuple):
    """An analysis just done: its record without hashes of files, and the files by name."""

    analysis: Analysis
    files: Mapping[str, bytes]


def load_or_compute(
    store: Path, name: str, analysis_id: str, compute: Callable[[], NewAnalysis], force_new: bool = False
) -> StoredAnalysis:
    """Find an analysis done, or do it.

    Files are written whole when everything has been computed, the record last; a folder without a record is of an
    analysis that was interrupted, and is filled.

    Args:
        store: the store.
        name: what the folder is called, before the id.
        analysis_id: digest of what is asked.
        compute: does the analysis.
        force_new: do it again, into a folder of its own.

    Raises:
        UserError: the store cannot be written, or another process is working on the same analysis.
        RecordError: the record there is not valid, or a file beside it is not what was written.
    """
    stem = f"{ANALYSIS_FOLDER}/{name}-{analysis_id}"
    if not force_new and (found := _load_existing(store, stem, analysis_id)):
        return found
    ensure_writable_dir(store)
    made = compute()
    existing = list_attempts(store, stem)
    folder = next_attempt_folder(store, stem) if force_new or not existing else existing[-1]
    with lock_folder(folder):
        if (folder / ANALYSIS_FILE).exists():  # another process computed the same and was faster
            return StoredAnalysis(folder, _read_verified(folder, analysis_id), True)
        # The record comes last: a folder that has one is complete, whenever the process was killed
        for file, content in made.files.items():
            write_atomic(folder / file, content)
        hashes = {file: hashlib.sha256(content).hexdigest() for file, content in made.files.items()}
        analysis = Analysis.model_validate({**made.analysis.model_dump(), "files": hashes})
        write_atomic(folder / ANALYSIS_FILE, dump_analysis(analysis))
    return StoredAnalysis(folder, analysis, False)


def _load_existing(store: Path, stem: str, analysis_id: str) -> StoredAnalysis | None:
    existing = list_attempts(store, stem)
    if not existing or not (existing[-1] / ANALYSIS_FILE).exists():
        return None
    return StoredAnalysis(existing[-1], _read_verified(existing[-1], analysis_id), True)


def _read_verified(folder: Path, analysis_id: str | None = None) -> Analysis:
    analysis = read_analysis(folder)
    if analysis_id not in (None, analysis.analysis_id):
        raise RecordError(f"{folder / ANALYSIS_FILE} is of analysis {analysis.analysis_id}, not {analysis_id}; move it")
    for name, expected in analysis.files.items():
        path = folder / name
        if not path.is_file() or sha256_file(path) != expected:
            raise RecordError(f"{path} is missing or not what was written; run the analysis again with --fresh")
    return analysis


class AnalysisScan(NamedTuple):
    """The analyses below some stores, newest attempt of each, and the faults of those that cannot be read."""

    analyses: list[StoredAnalysis]
    faults: list[str]


def scan_analyses(stores: Iterable[Path]) -> AnalysisScan:
    """Every analysis below the stores, in path order, for a page or a list; a broken one is named, never skipped.

    Args:
        stores: folders of runs; one without analyses gives none.
    """
    newest: dict[tuple[Path, str], StoredAnalysis] = {}
    faults = []
    for root in stores:
        for path in sorted((root / ANALYSIS_FOLDER).glob(f"*/{ANALYSIS_FILE}")):
            try:
                analysis = _read_verified(path.parent)
            except RecordError as error:
                faults.append(str(error))
                continue
            stem = str(path.parent.relative_to(root)).partition(analysis.analysis_id)[0] + analysis.analysis_id
            # Of several attempts at one analysis (--fresh) only the newest that was finished is shown
            done = [folder for folder in list_attempts(root, stem) if (folder / ANALYSIS_FILE).exists()]
            if done[-1:] == [path.parent]:
                newest[root, analysis.analysis_id] = StoredAnalysis(path.parent, analysis, True)
    return AnalysisScan(list(newest.values()), faults)
