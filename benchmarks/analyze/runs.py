"""What the analyses made of runs share: cells through ``run_cell``, and the analysis written over their records."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from analysis.record import Analysis, Looked, What, identify
from analysis.store import Kept, Made, kept_or_made
from benchmarks.analyze.common import Found, finished
from benchmarks.run_cell import Asked, Cell, run_cell
from engine.device import resolve_device, world
from engine.progress import say
from engine.run_environment import describe_run
from foundation.environment import data_root
from foundation.errors import UserError
from results.records.record import Backbone


def require_one_process() -> None:
    """Refuse ``torchrun``.

    Raises:
        UserError: several processes.
    """
    if world()[1] > 1:
        raise UserError(
            f"bench analyze runs in one process, not {world()[1]}; do the cells under torchrun with bench run first: "
            "the analysis then finds their records"
        )


def require_scales(options: Namespace) -> None:
    """Refuse a share that is named twice: its runs would be counted twice.

    Raises:
        UserError: naming the option.
    """
    for name, values in (("--data-scale", options.data_scale), ("--seeds", options.seeds)):
        if len(set(values)) < len(values):
            raise UserError(f"{name} names a value twice; each is run once")


def cells(options: Namespace, name: str, checkpoint: str | None, scale: float, partial: bool) -> list[Cell]:
    """A run for each seed, or what its record says.

    Args:
        options: of the command line.
        name: the backbone.
        checkpoint: its start weights.
        scale: share of the training data.
        partial: whether the start weights fill only part of the trunk.
    """
    found = []
    for seed in options.seeds:
        cell = run_cell(
            Asked(
                task=options.task,
                backbone=name,
                protocol=options.protocol,
                checkpoint=checkpoint,
                tier=options.tier,
                seed=seed,
                overrides=tuple(options.overrides),
                data_root=data_root(options.data_root),
                out=options.out,
                device=options.device,
                allow_partial=partial,
                subset=options.subset,
                data_scale=scale,
                command=tuple(options.command_line),
            )
        )
        source = "from its record" if cell.from_record else "done"
        say(f"run {cell.record.run_id} ({name}, {100 * scale:g} % of train, seed {seed}): {source}")
        found.append(cell)
    return found


def answer(
    options: Namespace,
    what: What,
    method: int,
    backbones: Sequence[Backbone],
    looked: Looked | None,
    settings: Mapping[str, Any],
    ingredients: Mapping[str, Any],
    runs: Sequence[str],
    draw: Callable[[], Found],
) -> Kept:
    """Answer from the record, or write one. The id goes by the ids of the runs, so nothing stale is answered.

    Args:
        options: of the command line.
        what: which analysis.
        method: version of its method.
        backbones: as records have them.
        looked: images that were looked at beside the runs.
        settings: as resolved, for the record.
        ingredients: what beside settings and runs can change what comes out.
        runs: ids.
        draw: computes what is left, and draws.
    """
    analysis_id = identify(what, method, {"settings": dict(settings), "runs": list(runs), **ingredients})
    began = time.monotonic()

    def make() -> Made:
        where = describe_run(resolve_device(options.device), "fp32", list(options.command_line))
        found = draw()
        analysis = Analysis(
            analysis_id=analysis_id,
            what=what,
            method=method,
            backbones=list(backbones),
            data=looked,
            settings=dict(settings),
            numbers=dict(found.numbers),
            runs=list(runs),
            files={},
            seconds=time.monotonic() - began,
            where=finished(where),
        )
        return Made(analysis, found.files)

    names = "-".join(one.name.replace("/", "_") for one in backbones)[:120]
    return kept_or_made(options.out, f"{what}-{names}-{options.task}", analysis_id, make, options.fresh)
