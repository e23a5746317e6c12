"""Plan the cells of a matrix: the state of each, and what it will cost. Imports torch only where a cell needs it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.matrix.calibration import (
    calibrate_in_process,
    can_calibrate,
    load_calibration,
    make_calibration_key,
    store_calibration,
)
from benchmarks.matrix.cell_states import CellState, CellStatus, RowKey, find_cell_states, find_row_key
from benchmarks.matrix.estimate import (
    FEATURE_SETTINGS,
    CellEstimate,
    FeaturePass,
    count_planned_steps,
    estimate_from_calibration,
    estimate_from_records,
    find_default_threads,
    find_device,
    list_feature_passes,
)
from benchmarks.matrix.run_folders import RunFolders, index_run_folders
from benchmarks.matrix.share_groups import FEATURE_PROTOCOLS
from benchmarks.resolve_cell import CellParts, CellRequest, make_run_stem
from foundation.errors import BenchError, UserError
from foundation.run_scope import open_run_scope


class FeatureKey(NamedTuple):
    """What cells have in common that read the same features.

    Attributes:
        source: backbone, data and split.
        part: which items of the split; ``None`` for all of them.
    """

    source: Hashable
    part: Hashable = None

    def is_paid(self, paid: Set[FeatureKey]) -> bool:
        """Return whether the features, or those of the complete split, are among those that were paid for."""
        return self in paid or FeatureKey(self.source) in paid


@dataclass(frozen=True)
class PlannedCell:
    """One cell of a plan.

    Attributes:
        request: the cell.
        state: whether it is done, goes on, is out of date, is missing or cannot run.
        reason: why it is in this state; empty where nothing needs to be said.
        protocol: name of the protocol; that of the request for an impossible cell, ``None`` if it names none.
        run_id: id of its run; ``None`` for an impossible cell.
        folder: folder of its record, of its unfinished attempt, or of the record that is out of date.
        row: the leaderboard row it belongs to; ``None`` for an impossible cell.
        estimate: what the complete cell costs if it is run alone.
        estimated_seconds: what is left to compute: 0 if it is done, less than ``estimate.seconds`` if it goes on from a
            checkpoint or a cell before it computes its features; ``None`` if unknown.
        shared_features: keys of the feature passes that it shares with other cells, by split.
        progress: fraction of its training that an unfinished cell has behind it.
    """

    request: CellRequest
    state: CellState
    reason: str = ""
    protocol: str | None = None
    run_id: str | None = None
    folder: Path | None = None
    row: RowKey | None = None
    estimate: CellEstimate = field(default_factory=CellEstimate)
    estimated_seconds: float | None = None
    shared_features: Mapping[str, FeatureKey] = field(default_factory=dict)
    progress: float = 0.0

    @property
    def needs_run(self) -> bool:
        """Whether a sweep would compute something for this cell."""
        return self.state in ("unfinished", "stale", "missing")

    @property
    def task(self) -> str:
        """Return the name of the task."""
        return self.request.task if isinstance(self.request.task, str) else self.request.task.name

    @property
    def backbone(self) -> str:
        """Return the name of the backbone."""
        if self.row is not None:
            return self.row.backbone
        return self.request.backbone if isinstance(self.request.backbone, str) else type(self.request.backbone).__name__


@dataclass(frozen=True)
class CalibrationBudget:
    """How long a plan may calibrate.

    Attributes:
        seconds: in all; a calibration that was begun is completed. 0: nothing is calibrated, kept findings count.
        report: called before each calibration with the cell, its number from 1, and how many there are at most.
    """

    seconds: float = 0.0
    report: Callable[[CellRequest, int, int], None] = lambda request, number, total: None


def plan_cells(
    requests: Sequence[CellRequest],
    runs: Sequence[Path] = (),
    threads: int | Sequence[int] | None = None,
    calibration: CalibrationBudget | None = None,
) -> list[PlannedCell]:
    """Find the state of each cell and estimate what it costs.

    Args:
        requests: the cells.
        runs: further stores whose records count as done and as evidence; each request's ``out`` always counts.
        threads: number of CPU threads of all cells, or of each; ``None``: as many as a single run would use here.
        calibration: how long to calibrate kinds of cells for which nothing is known; ``None``: not at all.

    Returns:
        One planned cell per request, in the same order.
    """
    folders = index_run_folders([*(each.out for each in requests), *runs])
    statuses = find_cell_states(requests, runs, folders)
    counts = threads if isinstance(threads, Sequence) else [threads or find_default_threads()] * len(requests)
    with open_run_scope():
        evidence = _Evidence(folders, runs)
        known = list(zip(requests, statuses, counts, strict=True))
        cells = [_make_cell(*each, evidence) for each in known]
        if calibration is not None and calibration.seconds > 0:
            evidence.calibrate_kinds(cells, statuses, counts, calibration)
            cells = [_make_cell(*each, evidence) for each in known]
    return share_features(cells)


def share_features(cells: Iterable[PlannedCell]) -> list[PlannedCell]:
    """Set what is left to compute for each cell, if the cells run in this order: a feature pass is paid for once."""
    paid: set[FeatureKey] = set()
    found = []
    for cell in cells:
        seconds = 0.0 if cell.state == "done" else cell.estimate.seconds
        if cell.needs_run and seconds is not None:
            for split, spent in cell.estimate.feature_seconds.items():
                if cell.shared_features[split].is_paid(paid):
                    seconds -= spent
                paid.add(cell.shared_features[split])
            seconds = max(0.0, seconds) * (1 - cell.progress)
        found.append(replace(cell, estimated_seconds=seconds))
    return found


class _Place(NamedTuple):
    """What cells have in common that cost the same.

    Attributes:
        parts: id of the parts' object, which they share.
        device: ``cpu``, or the name of the GPU.
        threads: number of CPU threads.
    """

    parts: int
    device: str
    threads: int


@dataclass
class _Evidence:
    """What is known of the cost of cells, by kind.

    Attributes:
        folders: run folders of all stores.
        runs: the further stores.
        estimates: what cells of the same parts cost.
        passes: feature passes of earlier runs by task, backbone, protocol and tier, the device and the threads.
        devices: device names by what was requested.
    """

    folders: Mapping[Path, RunFolders]
    runs: Sequence[Path]
    estimates: dict[_Place, CellEstimate] = field(default_factory=dict)
    passes: dict[tuple[str, str, int], list[FeaturePass]] = field(default_factory=dict)
    devices: dict[str, str] = field(default_factory=dict)

    def find_estimate(self, request: CellRequest, parts: CellParts, threads: int) -> CellEstimate:
        """Return the estimate of a cell; cells that share their parts share it."""
        device = self._find_device(request)
        key = _Place(id(parts), device, threads)
        if key not in self.estimates:
            earlier = self._find_runs(request, parts)
            find_passes = partial(self._find_passes, request, parts, device, threads)
            found = estimate_from_records(earlier, parts, device, threads, find_passes) if earlier else None
            if found is None:
                kept = load_calibration(make_calibration_key(parts, device, threads))
                found = CellEstimate() if kept is None else estimate_from_calibration(kept, parts)
            steps = count_planned_steps(parts) if found.steps is None else found.steps
            self.estimates[key] = replace(found, steps=steps)
        return self.estimates[key]

    def _find_runs(self, request: CellRequest, parts: CellParts, protocol: str | None = None) -> list[Path]:
        """Return the folders of all runs that differ from a cell in seed, settings, weights or data alone."""
        own = parts.request if protocol is None else replace(parts.request, protocol=protocol)
        # the seed in the name does not matter: the runs of all seeds are looked up
        stem = make_run_stem(parts.task, own, request.seed, "0" * 16)
        stores = [self.folders[root] for root in dict.fromkeys([request.out, *self.runs])]
        return [folder for store in stores for folder in store.find_other_seeds(stem)]

    def _find_passes(self, request: CellRequest, parts: CellParts, device: str, threads: int) -> list[FeaturePass]:
        """Return the feature passes of the runs of other protocols on the task and backbone of a cell."""
        found: list[FeaturePass] = []
        for protocol in FEATURE_PROTOCOLS:
            if protocol == parts.request.protocol:
                continue
            key = (make_run_stem(parts.task, replace(parts.request, protocol=protocol), 0, ""), device, threads)
            if key not in self.passes:
                folders = self._find_runs(request, parts, protocol)
                self.passes[key] = list_feature_passes(folders, device, threads)
            found += self.passes[key]
        return found

    def _find_device(self, request: CellRequest) -> str:
        if request.device not in self.devices:
            self.devices[request.device] = find_device(request.device)
        return self.devices[request.device]

    def calibrate_kinds(
        self,
        cells: Sequence[PlannedCell],
        statuses: Sequence[CellStatus],
        threads: Sequence[int],
        budget: CalibrationBudget,
    ) -> None:
        """Calibrate each kind of cell that has to run and of which nothing is known, until the budget is spent."""
        kinds: dict[str, dict[_Place, tuple[CellRequest, CellParts]]] = defaultdict(dict)
        for cell, status, count in zip(cells, statuses, threads, strict=True):
            if cell.needs_run and cell.estimate.kind == "unknown" and status.parts and can_calibrate(cell.request):
                place = _Place(id(status.parts), self._find_device(cell.request), count)
                key = make_calibration_key(status.parts, place.device, count)
                kinds[key].setdefault(place, (cell.request, status.parts))
        ends = time.monotonic() + budget.seconds
        for number, (key, members) in enumerate(kinds.items(), 1):
            for request in self._calibrate_kind(key, members, ends):
                budget.report(request, number, len(kinds))

    def _calibrate_kind(
        self, key: str, members: Mapping[_Place, tuple[CellRequest, CellParts]], ends: float
    ) -> Iterator[CellRequest]:
        """Calibrate the first cell of a kind that begins: a weight file that does not fit says nothing of another.

        Yields:
            Each cell before it is tried.
        """
        waiting = dict(members)
        for place, (request, parts) in members.items():
            if time.monotonic() >= ends:
                return
            yield request
            try:
                found = calibrate_in_process(request, place.threads)
            except UserError as error:  # what the user can fix fails in the real run as well
                del waiting[place]
                self._set_unknown({place: (request, parts)}, error, refusal=str(error))
            except BenchError as error:
                self._set_unknown(waiting, error)
                return
            else:
                store_calibration(key, found)
                self.estimates |= {each: estimate_from_calibration(found, some) for each, (_, some) in waiting.items()}
                return

    def _set_unknown(
        self, members: Mapping[_Place, tuple[CellRequest, CellParts]], error: BenchError, refusal: str = ""
    ) -> None:
        for place, (_, parts) in members.items():
            steps = count_planned_steps(parts)
            self.estimates[place] = CellEstimate(evidence=f"unknown: {error}", steps=steps, refusal=refusal)


def _make_cell(request: CellRequest, status: CellStatus, threads: int, evidence: _Evidence) -> PlannedCell:
    protocol = request.protocol if status.parts is None else status.parts.request.protocol
    row = find_row_key(status)
    cell = PlannedCell(request, status.state, status.reason, protocol, status.run_id, status.folder, row)
    if status.parts is None:
        return cell
    estimate = evidence.find_estimate(request, status.parts, threads)
    if estimate.refusal and cell.needs_run:
        return replace(cell, state="impossible", reason=estimate.refusal, estimate=estimate)
    shared = {split: _make_feature_key(request, status.parts, split) for split in estimate.feature_seconds}
    progress = _find_progress(status.folder, status.parts) if status.state == "unfinished" else 0.0
    return replace(cell, estimate=estimate, shared_features=shared, progress=progress)


def _make_feature_key(request: CellRequest, parts: CellParts, split: str) -> FeatureKey:
    """Return what cells that read the same features of a split have in common."""
    recipe, backbone = parts.plan.config.get("recipe", {}), parts.backbone
    is_random = backbone.init == "random" or backbone.allow_partial
    source = (
        split,
        parts.task.name,
        parts.data.fingerprint,
        backbone.name,
        (backbone.checkpoint.sha256, backbone.checkpoint.weights_key) if backbone.checkpoint else None,
        (request.mean, request.std),
        request.seed if is_random else None,
        tuple(recipe.get(name) for name in FEATURE_SETTINGS),
        request.device,
    )
    # the items of a part are drawn anew for each seed; the test is always complete
    is_part = request.data_scale != 1 and split != "test"
    return FeatureKey(source, (request.data_scale, request.seed) if is_part else None)


def _find_progress(folder: Path | None, parts: CellParts) -> float:
    """Return the fraction of its schedule that an unfinished run has behind it, by its newest checkpoint."""
    recipe = parts.plan.config.get("recipe", {})
    length = recipe.get("epochs") or recipe.get("iterations")
    if folder is None or not isinstance(length, int):
        return 0.0
    # named by epoch or iteration (``engine.checkpoints``)
    names = [path.stem.removeprefix("step_") for path in (folder / "checkpoints").glob("step_*.pth")]
    return min(1.0, max((int(name) for name in names if name.isdecimal()), default=0) / length)
