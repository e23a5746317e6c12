"""Get the runs that an analysis uses: from their records, or by running them with the request's ``run_cell``."""

from __future__ import annotations

from analysis.request import AnalysisCell, BackboneChoice, RunsRequest
from engine.progress_bar import log_message
from foundation.errors import UserError
from results.records.record import Record


def require_unique_values(request: RunsRequest) -> None:
    """Refuse a data fraction or a seed that is given twice, because its runs would be counted twice.

    Raises:
        UserError: a value is given twice; the message names the option.
    """
    for name, values in (("--data-scale", request.data_scales), ("--seeds", request.seeds)):
        if len(set(values)) < len(values):
            raise UserError(f"{name} has the same value twice; give each value once")


def run_all_seeds(request: RunsRequest, choice: BackboneChoice, data_scale: float, allow_partial: bool) -> list[Record]:
    """Return the records of one run per seed of the request; runs without a record are done first.

    Args:
        request: the request.
        choice: the backbone and its start weights.
        data_scale: fraction of the training items, above 0 and at most 1.
        allow_partial: accept start weights that fill only part of the backbone.
    """
    records = []
    for seed in request.seeds:
        cell = request.run_cell(AnalysisCell(choice, seed, data_scale, allow_partial))
        # a run can take hours, so the log says for each one whether it was repeated
        source = "from its record" if cell.from_record else "done"
        log_message(f"run {cell.record.run_id} ({choice.name}, {100 * data_scale:g} % of train, seed {seed}): {source}")
        records.append(cell.record)
    return records
