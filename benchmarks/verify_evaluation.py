"""What a record says, against the task as it is, the data as they are, and a new evaluation of the kept weights."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from backbones.card import BackboneCard
from backbones.registry import get_card
from backbones.weights import Start
from benchmarks.task_registry import TASKS
from engine.task import DataReport, Plan, Request
from foundation.errors import BenchError, UnknownNameError
from results.records.record import PRETRAINING, Record
from results.records.verification import Check
from results.statistics.per_item_outcomes import EXACT

WEIGHTS = ("step_*.pth", "best_*.pth", "last_*.pth")


def check_against_task(record: Record) -> Iterator[Check]:
    """Whether the record's metrics have the unit and direction that the task declares."""
    if record.domain == PRETRAINING:
        return
    try:
        task = TASKS.get(record.task)
    except BenchError as error:
        yield Check("task", "unchecked", str(error))
        return
    for spec in task.metrics:
        metric = record.result.metrics.get(spec.name) if record.result else None
        if metric is not None and (metric.unit, metric.higher_is_better) != (spec.unit, spec.higher_is_better):
            yield Check(spec.name, "fails", f"the task declares {spec}, the record says otherwise")
    if record.result and record.result.primary != task.metrics[0].name:
        text = f"the record calls {record.result.primary} primary, the task {task.metrics[0].name}"
        yield Check("primary metric", "fails", text)


def check_data(record: Record, root: Path) -> Iterator[Check]:
    """Whether the data under ``root`` (or where the record says they were) have the record's fingerprint."""
    if record.domain == PRETRAINING:
        yield Check("data", "unchecked", "the images of a pre-training are not read again")
        return
    try:
        found = _data_report(record.task, _root(record, root))
    except BenchError as error:
        yield Check("data", "unchecked", str(error))
        return
    if found.fingerprint != record.data.fingerprint:
        text = f"the data here are {found.fingerprint[:12]}..., the run's were {record.data.fingerprint[:12]}..."
        yield Check("data", "fails", text)
    elif dict(found.splits) != record.data.splits or list(found.departures) != record.data.departures:
        yield Check("data", "fails", f"the fingerprint holds, but the splits here are {dict(found.splits)}")
    else:
        yield Check("data", "holds", f"fingerprint {found.fingerprint[:12]}..., {sum(found.splits.values()):,} items")


@lru_cache(maxsize=16)
def _data_report(task: str, root: Path) -> DataReport:
    return TASKS.get(task).check_data(root)


def check_evaluation(folder: Path, record: Record, root: Path, device: str) -> Iterator[Check]:
    """Evaluate the kept weights again, and compare every metric.

    The run's checkpoints are taken to a scratch folder and the run is carried out there: its training finds itself at
    its end and only the evaluation is done.
    """
    what = "evaluation"
    if record.status != "complete" or record.result is None:
        yield Check(what, "unchecked", f"the run is {record.status}")
        return
    kept = sorted(path for pattern in WEIGHTS for path in folder.rglob(f"checkpoints/{pattern}"))
    if not kept:
        text = "no checkpoint is kept (of a frozen backbone the evaluation is the run itself: bench run ... --fresh)"
        yield Check(what, "unchecked", text)
        return
    with tempfile.TemporaryDirectory(prefix="bench-verify-") as name:
        scratch = Path(name)
        for path in kept:
            target = scratch / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        try:
            yield from _again(record, root, device, scratch, {path.relative_to(folder) for path in kept})
        except (BenchError, ValueError, KeyError) as error:  # settings of an older bench, or edited ones
            yield Check(what, "unchecked", f"it could not be done: {str(error).splitlines()[0]}")


def _again(record: Record, root: Path, device: str, scratch: Path, kept: set[Path]) -> Iterator[Check]:
    from engine.device import resolve_device
    from engine.run_environment import describe_run

    assert record.result is not None
    task, card = TASKS.get(record.task), _card(record)
    _require_finished(record, kept)
    device = resolve_device(device)
    outcome = task.run(_request(record, card, _root(record, root), device), _plan(record), scratch)
    here = describe_run(device, record.where.precision, [])
    same = (here.device, here.packages) == (record.where.device, record.where.packages)
    for name, metric in record.result.metrics.items():
        value = outcome.metrics[name].value if name in outcome.metrics else None
        if value is not None and abs(value - metric.value) <= EXACT * max(1.0, abs(metric.value)):
            yield Check(f"{name} evaluated again", "holds", f"{value:g} {metric.unit}")
        else:
            apart = "it is missing" if value is None else f"{value:g} {metric.unit}, the record says {metric.value:g}"
            where = "" if same else f"; the run was made on {record.where.device} or with other packages"
            yield Check(f"{name} evaluated again", "fails" if same else "unchecked", apart + where)


def _require_finished(record: Record, kept: set[Path]) -> None:
    """Pass only checkpoints of a whole training; otherwise the run would train.

    Raises:
        UnknownNameError: the last step is not among them.
    """
    recipe = record.config.get("recipe", {})
    length = recipe.get("epochs") or recipe.get("iterations")
    folders = {path.parent for path in kept}
    for folder in sorted(folders):
        if folder / f"step_{length or 0:08d}.pth" not in kept:
            raise UnknownNameError(f"{folder} lacks the checkpoint of the last step ({length}), so it would train anew")


def _card(record: Record) -> BackboneCard:
    """The registry's card, if it is still the record's.

    Raises:
        UnknownNameError: the card has changed since.
    """
    card = get_card(record.backbone.name)
    stated = record.backbone.card
    changed = [key for key, value in card.identity().items() if key in stated and stated[key] != value]
    if changed:
        raise UnknownNameError(f"the card of {card.name} has changed since ({', '.join(changed)})")
    return card


def _request(record: Record, card: BackboneCard, root: Path, device: str) -> Request:
    """The cell; the kept weights replace the start weights whole, so none are read."""
    return Request(
        card=card,
        start=Start("random", None, None),
        protocol=record.protocol,
        tier=record.tier,
        seed=record.seed,
        overrides=(),
        data_root=root,
        device=device,
        allow_partial=record.backbone.allow_partial,
        data_scale=float(record.config.get("data_scale", 1.0)),
    )


def _plan(record: Record) -> Plan:
    return Plan(
        protocol_version=record.protocol_version,
        config=record.config,
        neutral=record.neutral,
        arguments=record.backbone.arguments,
        expected=record.expected,
        steps=(),
    )


def _root(record: Record, root: Path) -> Path:
    """Where the run says its data were, if they are not under ``root``."""
    stated: Any = record.result.details.get("data_root") if record.result else None
    return Path(stated) if isinstance(stated, str) and not root.is_dir() else root
