"""What the analyses made of runs share: cells through ``run_cell``, and the analysis written over their records."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from analysis.record import Analysis, AnalysisKind, ImageSource, make_analysis_id
from analysis.store import NewAnalysis, StoredAnalysis, load_or_compute
from benchmarks.analyze.common import AnalysisOutput, stamp_finish_time
from benchmarks.run_cell import CellRequest, CellResult, run_cell
from engine.device import get_dist_info, resolve_device
from engine.progress import log_message
from engine.run_environment import collect_run_environment
from foundation.environment import resolve_data_root
from foundation.errors import UserError
from results.records.record import BackboneRecord


def require_one_process() -> None:
    """Refuse ``torchrun``.

    Raises:
        UserError: several processes.
    """
    if get_dist_info()[1] > 1:
        raise UserError(
            f"bench analyze runs in one process, not {get_dist_info()[1]}; do the cells under torchrun with bench run "
            "first: the analysis then finds their records"
        )


def require_unique_values(options: Namespace) -> None:
    """Refuse a share that is named twice: its runs would be counted twice.

    Raises:
        UserError: naming the option.
    """
    for name, values in (("--data-scale", options.data_scale), ("--seeds", options.seeds)):
        if len(set(values)) < len(values):
            raise UserError(f"{name} names a value twice; each is run once")


def run_cells(
    options: Namespace, name: str, checkpoint: str | None, data_scale: float, allow_partial: bool
) -> list[CellResult]:
    """A run for each seed, or what its record says.

    Args:
        options: of the command line.
        name: the backbone.
        checkpoint: its start weights.
        data_scale: share of the training data.
        allow_partial: whether the start weights fill only part of the trunk.
    """
    found = []
    for seed in options.seeds:
        cell = run_cell(
            CellRequest(
                task=options.task,
                backbone=name,
                protocol=options.protocol,
                checkpoint=checkpoint,
                tier=options.tier,
                seed=seed,
                overrides=tuple(options.overrides),
                data_root=resolve_data_root(options.data_root),
                out=options.out,
                device=options.device,
                allow_partial=allow_partial,
                allow_subset=options.subset,
                data_scale=data_scale,
                command_line=tuple(options.command_line),
            )
        )
        source = "from its record" if cell.from_record else "done"
        log_message(f"run {cell.record.run_id} ({name}, {100 * data_scale:g} % of train, seed {seed}): {source}")
        found.append(cell)
    return found


def analyze_runs(
    options: Namespace,
    kind: AnalysisKind,
    method_version: int,
    backbones: Sequence[BackboneRecord],
    image_source: ImageSource | None,
    settings: Mapping[str, Any],
    ingredients: Mapping[str, Any],
    run_ids: Sequence[str],
    compute: Callable[[], AnalysisOutput],
) -> StoredAnalysis:
    """Answer from the record, or write one. The id goes by the ids of the runs, so nothing stale is answered.

    Args:
        options: of the command line.
        kind: which analysis.
        method_version: version of its method.
        backbones: as records have them.
        image_source: images that were looked at beside the runs.
        settings: as resolved, for the record.
        ingredients: what beside settings and runs can change what comes out.
        run_ids: ids.
        compute: computes what is left, and draws.
    """
    analysis_id = make_analysis_id(
        kind, method_version, {"settings": dict(settings), "runs": list(run_ids), **ingredients}
    )
    began = time.monotonic()

    def make() -> NewAnalysis:
        where = collect_run_environment(resolve_device(options.device), "fp32", list(options.command_line))
        found = compute()
        analysis = Analysis(
            analysis_id=analysis_id,
            kind=kind,
            method_version=method_version,
            backbones=list(backbones),
            data=image_source,
            settings=dict(settings),
            numbers=dict(found.numbers),
            runs=list(run_ids),
            files={},
            seconds=time.monotonic() - began,
            where=stamp_finish_time(where),
        )
        return NewAnalysis(analysis, found.files)

    names = "-".join(one.name.replace("/", "_") for one in backbones)[:120]
    return load_or_compute(options.out, f"{kind}-{names}-{options.task}", analysis_id, make, options.fresh)
