"""Write the union of stores: prepared beside the target first, then put in place folder by folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from analysis.record import ANALYSIS_FILE
from benchmarks.transfer.archives import extract_archive, is_archive, read_manifest, require_free_space
from benchmarks.transfer.locked_scratch import open_locked_scratch
from benchmarks.transfer.merge_stores import UnionPlan, plan_union
from benchmarks.transfer.store_contents import StoreContents, scan_stores
from engine.progress_bar import ProgressBar
from foundation.display_text import format_one_line
from foundation.errors import UserError
from foundation.files import sha256_file
from foundation.plural import format_count
from foundation.storage.write_faults import find_storage_error
from results.records.ledger import LEDGER_FOLDER
from results.records.ledger_checks import check_ledgers
from results.records.store import RECORD_FILE, lock_folder, require_outside_run
from results.records.verification import VerificationCheck

REPLACED_FOLDER = "replaced"
"""Where folders wait in the workshop until the later state of the run is in their place."""

MISSING_RUNS = "missing runs"
"""The subject of the check that complete runs of the ledger are in the store."""


class MergeReport(NamedTuple):
    """What a merge did.

    Attributes:
        out: the union.
        num_records: records in the union.
        num_added: records that were not in it before.
        num_identical: records that several stores had, byte for byte.
        conflicts: contradictions, one sentence each; where there is any, nothing was written.
        notes: choices that were made among records.
    """

    out: Path
    num_records: int
    num_added: int
    num_identical: int
    conflicts: list[str]
    notes: list[str]


def merge_stores(sources: Sequence[Path], out: Path, *, keep_first: bool = False) -> MergeReport:
    """Write the union of stores; a store that is at ``out`` already is the first of them and is added to.

    Args:
        sources: folders of runs, and archives of ``bench pack``; an archive is treated as untrusted.
        out: the store to write.
        keep_first: of records with equal numbers that differ elsewhere, keep the first one.

    Raises:
        UserError: a source is not there, or cannot be read as a whole; nothing was written.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is not a folder; name a folder with --out")
    require_outside_run(out)
    with _open_workshop(out) as workshop:
        folders = [_unpack_source(path, workshop / f"{number:06d}") for number, path in enumerate(sources)]
        # the target comes first, so that what is there already is never changed by what arrives
        places = [out, *folders] if out.is_dir() else folders
        found = scan_stores(dict.fromkeys(Path(os.path.realpath(place)) for place in places))
        stores, faults = found
        home = out.resolve()
        if any(store.root != home and store.root.is_relative_to(home) for store in stores):
            faults.append(f"{out} holds stores in folders below it; name one of them with --out, or a new folder")
        around = [store.root for store in stores if store.root != home and home.is_relative_to(store.root)]
        faults += [f"{out} lies in the store {root}, whose tables would count every run twice" for root in around]
        if not any(store.folders or store.single_files for store in stores):
            faults.append(f"there is no record in {', '.join(map(str, sources))}")
        origins = dict(zip(map(str, folders), map(str, sources), strict=True))
        if faults:
            raise UserError(f"nothing was merged: {_name_origins('; '.join(faults), origins)}")
        plan = plan_union(stores, keep_first=keep_first)
        if not plan.conflicts:
            plan.conflicts.extend(_find_new_ledger_faults(plan, stores, workshop / "ledger_check"))
        before = next((store.folders for store in stores if store.root == home), {})
        if not plan.conflicts:
            _install_files(plan, home, workshop / "union")
        records = {name for name, each in plan.records.items() if each.record is not None}
        added = len(records - before.keys())
        conflicts, notes = ([_name_origins(text, origins) for text in texts] for texts in (plan.conflicts, plan.notes))
        return MergeReport(out, len(records), added, plan.num_identical, conflicts, notes)


@contextmanager
def _open_workshop(out: Path) -> Iterator[Path]:
    """Yield an empty folder beside the target, which is removed at the end; one merge at a time writes to a target."""
    home = out.resolve()  # a link may lead to another file system, to which nothing can be renamed
    with open_locked_scratch(
        home.with_name(f".{home.name}.merge"),
        is_busy=f"another process merges into {out}; wait for it, or choose another --out",
        cannot_write=f"cannot write beside {out} ({{error}}); choose another --out",
    ) as workshop:
        try:
            _restore_replaced(workshop / REPLACED_FOLDER, home)
            # what else a killed merge left is not used: it may be half of a file
            shutil.rmtree(workshop, ignore_errors=True)
            workshop.mkdir()
            yield workshop
        except OSError as error:  # a full disk, a source that went away
            reason = find_storage_error(error, out) or error
            raise UserError(
                f"the merge into {out} stopped ({reason}); every run in it is whole, and the same command goes on"
            ) from error
        finally:
            _restore_replaced(workshop / REPLACED_FOLDER, home)


def _restore_replaced(replaced: Path, home: Path) -> None:
    """Put back the folders of which a merge that was stopped had not yet put the later state in place."""
    for path in [*replaced.rglob(RECORD_FILE), *replaced.rglob(ANALYSIS_FILE)]:
        target = home / path.parent.relative_to(replaced)
        if not target.exists():
            path.parent.rename(target)


def _unpack_source(path: Path, target: Path) -> Path:
    """Return the folder of a source; an archive is unpacked first."""
    if not is_archive(path):
        return path
    require_free_space(target, read_manifest(path, "results").total_bytes)
    target.mkdir()
    extract_archive(path, "results", lambda file: target / file.path)
    return target


def _name_origins(text: str, origins: Mapping[str, str]) -> str:
    """Name an archive instead of the folder that it was unpacked to, which is gone when the text is read."""
    for folder, origin in origins.items():
        text = text.replace(folder, origin)
    return text


def _find_new_ledger_faults(plan: UnionPlan, stores: Sequence[StoreContents], view: Path) -> list[str]:
    """Compare the union's records with its ledger, and return what fails there but in no store by itself."""
    own = [check for store in stores for check in _check_store_ledger(store) if check.state == "fails"]
    # one sentence names all missing runs of a store, so those of several stores cannot be compared as text
    known = {check.message for check in own} | {check.subject for check in own if check.subject == MISSING_RUNS}
    runs = []
    for name, kept in plan.records.items():
        if kept.record is not None:
            (view / name).mkdir(parents=True)
            shutil.copyfile(kept.record_path, view / name / kept.record_path.name)
            runs.append((view / name, kept.record))
    (view / LEDGER_FOLDER).mkdir(parents=True)
    for name, path in plan.files.items():
        if name.startswith(f"{LEDGER_FOLDER}/"):
            shutil.copyfile(path, view / name)
    fails = [check for check in check_ledgers(view, runs) if check.state == "fails"]
    new = [check for check in fails if check.message not in known and check.subject not in known]
    return [f"{check.subject} of the union: {check.message}" for check in new]


def _check_store_ledger(store: StoreContents) -> list[VerificationCheck]:
    runs = [(each.folder, each.record) for each in store.folders.values() if each.record is not None]
    return check_ledgers(store.root, runs)


def _install_files(plan: UnionPlan, out: Path, union: Path) -> None:
    """Copy everything that is not at the target yet, and put it there by renaming."""
    home = out.resolve()
    new = {name: path for name, path in plan.files.items() if not path.resolve().is_relative_to(home)}
    require_free_space(out, sum(path.stat().st_size for path in new.values()))
    with ProgressBar("merge", "files", len(new)) as progress:
        for name, path in new.items():
            (union / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, union / name)
            if sha256_file(union / name) != sha256_file(path):
                raise UserError(f"{path} was changed while it was copied; merge again when nothing runs there")
            progress.advance(name)
    if not new:
        return
    if not out.exists():
        union.rename(out)
        return
    for name in sorted({_get_unit(name, plan) for name in new}):
        _install_unit(union / name, out / name, union.with_name(REPLACED_FOLDER), name in plan.records, plan, name)


def _get_unit(name: str, plan: UnionPlan) -> str:
    """Return what is put in place as one: the folder of a run or analysis, or a single file."""
    parts = name.split("/")
    return next((unit for depth in range(1, len(parts)) if (unit := "/".join(parts[:depth])) in plan.records), name)


def _install_unit(new: Path, target: Path, replaced: Path, is_folder: bool, plan: UnionPlan, name: str) -> None:
    """Rename a folder or a file into place. A folder that is there gets new files, or gives way to a later state."""
    if is_folder and target.exists() and not target.is_dir():
        raise UserError(f"{target} is a file where the folder of a run belongs; move it away and merge again")
    target.parent.mkdir(parents=True, exist_ok=True)
    if not is_folder or not target.exists():
        new.replace(target)
        return
    with lock_folder(target):  # a run that is going on there is not replaced
        if plan.records[name].folder.resolve() != target.resolve():
            (replaced / name).parent.mkdir(parents=True, exist_ok=True)
            target.rename(replaced / name)
            new.rename(target)
            return
        for path in sorted(path for path in new.rglob("*") if path.is_file()):
            place = target / path.relative_to(new)
            place.parent.mkdir(parents=True, exist_ok=True)
            path.replace(place)


def describe_merge(report: MergeReport) -> str:
    """Return what a merge did as text, its conflicts first."""
    lines = [f"conflict: {text}" for text in report.conflicts]
    lines += [f"note: {text}" for text in report.notes]
    if report.conflicts:
        return "\n".join(
            map(format_one_line, [*lines, f"{format_count(len(report.conflicts), 'conflict')}; nothing was written"])
        )
    lines.append(
        f"{report.out}: {format_count(report.num_records, 'record')}, {report.num_added} of them new; "
        f"{report.num_identical} were there several times"
    )
    return "\n".join(map(format_one_line, lines))
