"""Runs that an analysis is made of: done through the request's ``run_cell``, or found in their records."""

from __future__ import annotations

from analysis.request import AnalysisCell, BackboneChoice, RunsRequest
from engine.progress import log_message
from foundation.errors import UserError
from results.records.record import Record


def require_unique_values(request: RunsRequest) -> None:
    """Refuse a share or a seed that is named twice: its runs would be counted twice.

    Raises:
        UserError: naming the option.
    """
    for name, values in (("--data-scale", request.data_scales), ("--seeds", request.seeds)):
        if len(set(values)) < len(values):
            raise UserError(f"{name} names a value twice; each is run once")


def run_all_seeds(request: RunsRequest, choice: BackboneChoice, data_scale: float, allow_partial: bool) -> list[Record]:
    """The record of a run for each seed of the request.

    Args:
        request: what is asked.
        choice: backbone and start weights.
        data_scale: share of the training items, above 0 to 1.
        allow_partial: whether the start weights may fill only a part of the backbone.
    """
    records = []
    for seed in request.seeds:
        cell = request.run_cell(AnalysisCell(choice, seed, data_scale, allow_partial))
        source = "from its record" if cell.from_record else "done"
        log_message(f"run {cell.record.run_id} ({choice.name}, {100 * data_scale:g} % of train, seed {seed}): {source}")
        records.append(cell.record)
    return records
