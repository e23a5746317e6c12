"""Store analyses: one folder per analysis below ``analysis/``, never overwritten. Does not import torch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from analysis.record import ANALYSIS_FILE, Analysis, dump_analysis, read_analysis
from engine.data.file_hashes import require_unchanged_files
from foundation.errors import RecordError
from foundation.files import ensure_writable_dir, sha256_file, write_atomic
from foundation.storage.fault_isolation import convert_faults
from results.records.store import claim_attempt_folder, list_attempts, lock_folder

ANALYSIS_FOLDER = "analysis"


class StoredAnalysis(NamedTuple):
    """A stored analysis: its folder, its record, and whether the record existed before the request."""

    folder: Path
    analysis: Analysis
    from_record: bool


class NewAnalysis(NamedTuple):
    """A new analysis: its record, still without file hashes, and the file contents by name."""

    analysis: Analysis
    files: Mapping[str, bytes]


def load_or_compute(
    store: Path, name: str, analysis_id: str, compute: Callable[[], NewAnalysis], force_new: bool = False
) -> StoredAnalysis:
    """Load an analysis from the store, or compute it and write it there.

    Files are written only after the computation is complete, and the record is written last. A folder without a record
    belongs to an interrupted analysis and is filled.

    Args:
        store: folder of the store.
        name: first part of the folder name; the id follows.
        analysis_id: digest of the question.
        compute: computes the analysis.
        force_new: compute again, and write to a new folder.

    Raises:
        UserError: the store cannot be written, or another process is working on the same analysis.
        RecordError: the stored record is invalid, or one of its files was changed.
    """
    stem = f"{ANALYSIS_FOLDER}/{name}-{analysis_id}"
    if not force_new and (found := _load_existing(store, stem, analysis_id)):
        return found
    ensure_writable_dir(store)  # before the computation, which may take long
    made = compute()
    require_unchanged_files()
    existing = list_attempts(store, stem)
    # without --fresh, a second process finds what the first one computes
    folder = claim_attempt_folder(store, stem) if force_new else (existing or [store / stem])[-1]
    with lock_folder(folder):
        # checked again under the lock: another process may have computed the same analysis in the meantime
        if (folder / ANALYSIS_FILE).exists():
            return StoredAnalysis(folder, _read_verified(folder, analysis_id), True)
        # The record is written last, so a folder that has a record is complete even if the process was killed
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
        raise RecordError(
            f"{folder / ANALYSIS_FILE} belongs to analysis {analysis.analysis_id}, not {analysis_id}; move it away"
        )
    # hashes make sure that figures and tables still belong to the numbers of the record
    for name, expected in analysis.files.items():
        path = folder / name
        if not path.is_file() or sha256_file(path) != expected:
            raise RecordError(f"{path} is missing or was changed; run the analysis again with --fresh")
    return analysis


class AnalysisScan(NamedTuple):
    """The newest attempt of each analysis in some stores, and the errors of those that cannot be read."""

    analyses: list[StoredAnalysis]
    faults: list[str]


def scan_analyses(stores: Iterable[Path]) -> AnalysisScan:
    """Read every analysis in the stores, in the order of paths; broken ones are reported and never silently skipped.

    Args:
        stores: folders of runs; a folder without analyses is not an error.
    """
    newest: dict[tuple[Path, str], StoredAnalysis] = {}
    faults = []
    for root in stores:
        for path in sorted((root / ANALYSIS_FOLDER).glob(f"*/{ANALYSIS_FILE}")):
            try:
                with convert_faults(f"cannot read {path}"):
                    analysis = _read_verified(path.parent)
            except RecordError as error:
                faults.append(str(error))
                continue
            stem = str(path.parent.relative_to(root)).partition(analysis.analysis_id)[0] + analysis.analysis_id
            # --fresh leaves several attempts at one analysis; only the newest finished attempt counts
            done = [folder for folder in list_attempts(root, stem) if (folder / ANALYSIS_FILE).exists()]
            if done[-1:] == [path.parent]:
                newest[root, analysis.analysis_id] = StoredAnalysis(path.parent, analysis, True)
    return AnalysisScan(list(newest.values()), faults)
