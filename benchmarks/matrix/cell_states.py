"""Tell for every cell of a matrix whether it is done, goes on, is out of date, is missing or cannot run.

Cells share most of what their ids are made of: the data are checked once per data set, and the configuration and the
network once per task, protocol and backbone, whatever the number of seeds. Imports torch only where a cell needs it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from backbones.registry import get_card, list_plugin_modules
from benchmarks.matrix.run_folders import RunFolders, index_run_folders
from benchmarks.matrix.stale_records import describe_changes, is_earlier_version
from benchmarks.resolve_cell import CellParts, CellRequest, identify_cell, make_run_stem, resolve_cell_parts
from benchmarks.task_registry import TASKS
from engine.data.data_sources import find_task_data
from engine.task import DataReport, Task
from foundation.errors import BenchError, RecordError
from foundation.run_scope import open_run_scope
from results.records.identity import RunIdentity
from results.records.record import Record
from results.records.store import RECORD_FILE, is_folder_at_work, read_record

CellState = Literal["done", "unfinished", "stale", "missing", "impossible"]
"""``done``: a complete record answers. ``unfinished``: an attempt goes on from its checkpoints. ``stale``: the only
record is of other data, code or weights. ``missing``: never run. ``impossible``: the command ends with an error."""

CELL_STATES: tuple[CellState, ...] = ("done", "unfinished", "stale", "missing", "impossible")


class RowKey(NamedTuple):
    """What the seeds of one leaderboard row have in common: the board, the backbone and its start weights."""

    comparability: str
    backbone: str
    init: str
    start_sha256: str


class CellStatus(NamedTuple):
    """The state of a cell.

    Attributes:
        state: see ``CellState``.
        reason: why the cell is in this state, in one sentence; empty where nothing needs to be said.
        run_id: the id of the run; ``None`` for an impossible cell.
        comparability: key of the board on which the run stands; ``None`` for an impossible cell.
        folder: folder of the record or of the unfinished attempt; of the outdated record for a stale cell.
        parts: what the request resolves to; ``None`` for an impossible cell. Cells that differ in the seed share it.
    """

    state: CellState
    reason: str = ""
    run_id: str | None = None
    comparability: str | None = None
    folder: Path | None = None
    parts: CellParts | None = None


@dataclass
class _SharedWork:
    """What was found out for one cell and serves others.

    Attributes:
        parts: parts by the request without its seed, or the error that resolving it gave.
        data: data reports by task and data root, or the error.
        boards: comparability keys by the id of the parts' object.
    """

    parts: dict[Hashable, CellParts | BenchError] = field(default_factory=dict)
    data: dict[Hashable, DataReport | BenchError] = field(default_factory=dict)
    boards: dict[int, str] = field(default_factory=dict)

    def resolve_parts(self, request: CellRequest) -> CellParts:
        """Return the parts of a request, from an equal request with another seed where the parts do not depend on it.

        Raises:
            BenchError: the request cannot be run.
        """
        key, own = _make_group_key(request), (_make_group_key(request), request.seed)
        found = self.parts.get(key) or self.parts.get(own)
        if found is None:
            try:
                found = resolve_cell_parts(request, self.find_data)
            except BenchError as error:
                self.parts[own if _has_foreign_code(request) else key] = error
                raise
            self.parts[key if found.is_independent_of_seed else own] = found
        if isinstance(found, BenchError):
            raise found
        return found

    def find_data(self, task: Task, root: Path) -> DataReport:
        """Return what a task says of its data; asked once per task and root."""
        key = (id(task), root)
        if key not in self.data:
            try:
                self.data[key] = find_task_data(task, root)
            except BenchError as error:
                self.data[key] = error
        found = self.data[key]
        if isinstance(found, BenchError):
            raise found
        return found

    def find_board(self, parts: CellParts, identity: RunIdentity) -> str:
        """Return the comparability key of a cell; the fields that it covers are the same for all cells of one group."""
        if id(parts) not in self.boards:
            self.boards[id(parts)] = identity.comparability
        return self.boards[id(parts)]


def find_cell_states(
    requests: Sequence[CellRequest], runs: Sequence[Path] = (), folders: Mapping[Path, RunFolders] | None = None
) -> list[CellStatus]:
    """Find the state of each cell. The ids are those of ``benchmarks.resolve_cell.resolve_cell``.

    Args:
        requests: the cells.
        runs: further stores whose records count as done; the folder ``out`` of each request always counts.
        folders: the run folders of all of these; by default they are listed now.

    Returns:
        One status per request, in the same order.
    """
    indexed = index_run_folders([*(each.out for each in requests), *runs]) if folders is None else folders
    found: dict[int, CellStatus] = {}
    for hash_all, data_options in dict.fromkeys((each.hash_all, each.data_options) for each in requests):
        # one scope for all cells: what one of them reads of data, caches and protocol files serves the others
        with open_run_scope(hashes_all=hash_all, data_options=data_options):
            shared = _SharedWork()
            for number, request in enumerate(requests):
                if (request.hash_all, request.data_options) == (hash_all, data_options):
                    stores = [indexed[request.out], *(indexed[root] for root in runs if root != request.out)]
                    found[number] = _find_state(request, stores, shared)
    return [found[number] for number in range(len(requests))]


def _make_group_key(request: CellRequest) -> Hashable:
    """Return everything of a request that its parts may depend on, the seed left out unless it is refused."""
    task, backbone = request.task, request.backbone
    return (
        task if isinstance(task, str) else id(task),  # a task of the user may not be hashable
        backbone if isinstance(backbone, str) else id(backbone),
        request.protocol,
        request.checkpoint,
        request.weights_key,
        request.mean,
        request.std,
        request.label,
        request.tier,
        min(request.seed, 0),
        request.overrides,
        request.data_root,
        request.device,
        request.allow_partial,
        request.allow_subset,
        request.data_scale,
        request.allow_duplicates,
        request.data_options,
    )


def _has_foreign_code(request: CellRequest) -> bool:
    """Whether code that is not bench's takes part in a request; its errors, as its plans, may depend on the seed."""
    if not isinstance(request.task, str) or not isinstance(request.backbone, str):
        return True
    try:
        plugins = list_plugin_modules(get_card(request.backbone))
    except BenchError:
        return False  # an unknown name is unknown with every seed
    return bool(plugins) or TASKS.get_plugin_module(request.task) is not None


def _find_state(request: CellRequest, stores: Sequence[RunFolders], shared: _SharedWork) -> CellStatus:
    try:
        parts = shared.resolve_parts(request)
        identity = identify_cell(request, parts)
    except BenchError as error:
        return CellStatus("impossible", str(error))
    run_id = identity.run_id
    status = CellStatus("missing", "", run_id, shared.find_board(parts, identity), None, parts)
    stem = make_run_stem(parts.task, parts.request, request.seed, run_id)
    if request.force_new:
        return status._replace(reason="--fresh runs every cell again")
    if not parts.is_answerable:
        return status._replace(reason="its code cannot be identified, so no record ever answers it")
    status = _look_up_attempts(status, stem, stores)
    if status.state != "missing":
        return status
    outdated = _find_outdated_record(stem, stores, parts, request.seed)
    if outdated is None:
        return status
    folder, record = outdated
    return status._replace(state="stale", reason=describe_changes(record, identity), folder=folder)


def _look_up_attempts(status: CellStatus, stem: str, stores: Sequence[RunFolders]) -> CellStatus:
    """Apply the rules of ``benchmarks.run_cell``: the newest attempt counts; in other stores only if it is complete."""
    for number, store in enumerate(stores):
        attempts = store.find_attempts(stem)
        if not attempts:
            continue
        folder = attempts[-1]
        if not (folder / RECORD_FILE).exists():
            if number == 0:
                return status._replace(state="unfinished", reason="it has no record yet", folder=folder)
            continue
        try:
            record = read_record(folder)
        except RecordError as error:
            if number > 0:
                continue  # a run looks in its own store alone, and bench list names what is damaged elsewhere
            reason = f"{error}; move that folder away, or keep it and run again with --fresh"
            return CellStatus("impossible", reason, status.run_id, status.comparability, folder, status.parts)
        if record.status == "complete":
            return status._replace(state="done", folder=folder)
        if record.status == "invalidated":
            status = status._replace(reason=f"its record was withdrawn: {record.reason}")
        elif number == 0:
            return status._replace(state="unfinished", reason=_describe_attempt(record, folder), folder=folder)
    return status


def _describe_attempt(record: Record, folder: Path) -> str:
    """Return in words how far an attempt has come that is not complete."""
    if record.status == "running":  # a process that was killed leaves the same record as one that is at work
        where = {True: "at work still", False: "no process works on it any more", None: "at work still or killed"}
        return f"running: begun at {record.environment.started}, and {where[is_folder_at_work(folder)]}"
    return f"{record.status}{': ' if record.reason else ''}{record.reason or ''}"


def _find_outdated_record(
    stem: str, stores: Sequence[RunFolders], parts: CellParts, seed: int
) -> tuple[Path, Record] | None:
    """Return the newest complete record of the same request under another id."""
    found = []
    for store in stores:
        for folder in store.find_other_runs(stem):
            try:
                record = read_record(folder)
            except RecordError:
                continue  # it answers nothing; bench list names it
            if is_earlier_version(record, parts, seed):
                found.append((folder, record))
    return max(found, key=lambda each: each[1].environment.started, default=None)


def find_row_key(status: CellStatus) -> RowKey | None:
    """Return which leaderboard row a cell belongs to; an impossible cell has none."""
    if status.parts is None or status.comparability is None:
        return None
    backbone = status.parts.backbone
    sha256 = backbone.checkpoint.sha256 if backbone.checkpoint else ""
    return RowKey(status.comparability, backbone.name, backbone.init, sha256)
