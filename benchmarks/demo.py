"""The cells of ``bench demo``: the main jobs on embedded real data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from benchmarks.resolve_cell import CellRequest
from benchmarks.run_cell import CellResult, run_cell
from pretraining.task import PretrainTask
from results.records.record import Tier

DEMO_CELLS = (
    *(
        ("digits", backbone, protocol, seed)
        for protocol, seeds in (("finetune", (0,)), ("linear", (0, 1, 2)), ("knn", (0, 1, 2)))
        for backbone in ("vit_nano", "vit_pico")
        for seed in seeds
    ),
    ("mini_ade", "vit_nano", "semantic_fpn", 0),
    ("mini_coco", "vit_nano", "vitdet", 0),
    ("mini_lasot", "vit_pico", "fast64", 0),
)
"""Task, backbone, protocol, seed. What takes a second gets three seeds, so that its boards have ranks."""

DEMO_TIERS: Mapping[tuple[str, str], Tier] = {("digits", "finetune"): "short"}
"""Cells with a shortened schedule: forty epochs of the digits would take a quarter of the demo; ten show the same."""

FEW_LABELS_FRACTION = 0.1
"""Share of the digits' training labels that the two cells about pre-training fine-tune on."""


class DemoCells(NamedTuple):
    """What the demo ran: its cells, and the fine-tuning on few labels without and with pre-training."""

    cells: list[CellResult]
    from_scratch: CellResult
    pretrained: CellResult


def run_demo_cells(settings: Mapping[str, Any]) -> DemoCells:
    """Run the demo's cells, or answer them from their records.

    ``vit_nano`` is also fine-tuned on a tenth of the digits' labels: from scratch, and after MAE pre-training on the
    training images. The pre-training sees no label, and neither val nor test images; fine-tuning is the same for both.

    Args:
        settings: fields of ``CellRequest`` that are the same for every cell (``out``, ``device`` ...).
    """
    from backbones.cost.measure_cost import share_measurements  # imports torch

    with share_measurements():
        return _run_cells(settings)


def _run_cells(settings: Mapping[str, Any]) -> DemoCells:
    cells = [
        run_cell(
            CellRequest(
                task=task,
                backbone=backbone,
                protocol=protocol,
                seed=seed,
                tier=DEMO_TIERS.get((task, protocol), "full"),
                **settings,
            )
        )
        for task, backbone, protocol, seed in DEMO_CELLS
    ]
    pretraining = run_cell(
        CellRequest(task=PretrainTask("mae", "digits"), backbone="vit_nano", tier="short", **settings)
    )
    few_labels = [
        run_cell(
            CellRequest(
                task="digits",
                backbone="vit_nano",
                protocol="finetune",
                checkpoint=checkpoint,
                data_scale=FEW_LABELS_FRACTION,
                **settings,
            )
        )
        for checkpoint in (None, str(pretraining.folder))
    ]
    return DemoCells(cells, *few_labels)
