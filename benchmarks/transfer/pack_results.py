"""Pack the records of a store, with what follows from them and without weights, into one archive."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from backbones.weight_sources.weight_folders import ENCODER_FILENAME
from benchmarks.transfer.archives import ArchivedFile, write_archive
from benchmarks.transfer.store_contents import StoreContents, StoredFolder, scan_stores
from foundation.display_text import format_one_line
from foundation.errors import RecordError, UserError
from foundation.files import sha256_file
from foundation.plural import format_count
from results.records.ledger import LEDGER_FOLDER
from results.records.picture_manifest import PICTURES_DIR
from results.records.store import RECORD_FILE
from results.statistics.item_files import list_item_files

TRACKED_FOLDER = "tracked"
"""Folder of a tracking run with the boxes of each sequence, of which the per-item table has the SHA-256."""

CHECKPOINTS_FOLDER = "checkpoints"


class PackContent(NamedTuple):
    """What goes into a pack besides records, per-item files, ledger, timings and analyses."""

    with_pictures: bool = False
    with_weights: bool = False


class PackReport(NamedTuple):
    """What was packed: the archive, its size and SHA-256, the records in it, and what was left out, in words."""

    archive: Path
    num_bytes: int
    sha256: str
    num_records: int
    num_files: int
    left_out: list[str]


def pack_results(runs: Path, archive: Path, content: PackContent | None = None) -> PackReport:
    """Pack a store.

    Args:
        runs: the store.
        archive: the new file, ``.tar.zst``, ``.tar.gz`` or ``.tar``; equal stores give equal bytes.
        content: what is packed besides the usual.

    Raises:
        UserError: the folder is not one store, a record or file of it cannot be packed, or the archive exists. The
            message lists every fault; nothing was written.
    """
    before = _measure_ledger(runs)
    store = require_one_store(runs)
    files = [ArchivedFile(name, path) for name, path in store.single_files.items()]
    faults: list[str] = []
    left_out: list[str] = []
    num_records = 0
    for name, found in store.folders.items():
        if found.record is not None and found.record.status == "running":
            left_out.append(f"{name}: it has not ended")
            continue
        num_records += found.record is not None
        try:
            chosen = _choose_files(found, content or PackContent())
        except (RecordError, UserError) as error:
            faults.append(str(error))
            continue
        files += [ArchivedFile(f"{name}/{file}", found.files[file]) for file in sorted(chosen)]
    if not num_records:
        faults.append(f"{runs} has no record of a run that has ended")
    if faults:
        raise UserError(f"nothing was packed: {'; '.join(faults)}")
    write_archive(archive, "results", files)
    if _measure_ledger(runs) != before:  # its last lines would be about records that were read before
        archive.unlink()
        raise UserError(f"a run in {runs} began or ended while it was packed; pack again when nothing runs")
    return PackReport(archive, archive.stat().st_size, sha256_file(archive), num_records, len(files), left_out)


def require_one_store(runs: Path) -> StoreContents:
    """Return the contents of a folder that is one whole store.

    Raises:
        UserError: it is none, several or only a part of one, or something in it cannot travel.
    """
    stores, faults = scan_stores([runs])
    if faults:
        raise UserError(f"{runs} cannot be packed as it is: {'; '.join(faults)}")
    if len(stores) != 1:
        names = ", ".join(str(store.root) for store in stores) or "none"
        raise UserError(f"{runs} has to hold one store, but holds {names}; join several with bench merge")
    store = stores[0]
    # the ledger is about the whole store: beside a part of it, every other run would count as deleted
    if not store.root.is_relative_to(runs.resolve()):
        raise UserError(f"{runs} is a part of the store {store.root}; name the store, whose ledger is about all of it")
    return store


def _measure_ledger(runs: Path) -> dict[str, int]:
    """Return the size of each chain of a store's ledger, which grows with every start and end of a run."""
    # links are not followed: they are named as what cannot travel
    return {path.name: path.lstat().st_size for path in (runs / LEDGER_FOLDER).glob("*.jsonl")}


def describe_pack(report: PackReport) -> str:
    """Return what was packed as text."""
    left_out = [f"left out: {text}" for text in report.left_out]
    size = f"{format_count(report.num_records, 'record')}, {report.num_files} files, {report.num_bytes / 1e6:,.2f} MB"
    return "\n".join(map(format_one_line, [*left_out, f"{report.archive}: {size}", f"sha256: {report.sha256}"]))


def _choose_files(found: StoredFolder, content: PackContent) -> set[str]:
    """Return the files of a run or an analysis that are packed.

    Raises:
        RecordError: a per-item file that the record names is not there.
    """
    if found.record is None:
        return set(found.files)
    needed = {RECORD_FILE}
    if found.record.result is not None:
        needed |= {path.name for path in list_item_files(found.folder, found.record)}
    if missing := sorted(needed - found.files.keys()):
        raise RecordError(f"{found.folder} lacks {', '.join(missing)}; copy it from where the run was made")
    folders = [TRACKED_FOLDER]
    folders += [PICTURES_DIR] if content.with_pictures else []
    folders += [CHECKPOINTS_FOLDER] if content.with_weights else []
    names = {name for name in found.files if name.partition("/")[0] in folders and "/" in name}
    if content.with_weights and ENCODER_FILENAME in found.files:
        names.add(ENCODER_FILENAME)
    return needed | names
