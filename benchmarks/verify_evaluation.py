"""Check a record against the task as it is today, the data as they are, and a new evaluation of its weights."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from backbones.card import BackboneCard
from backbones.registry import get_card
from backbones.weights import InitialWeights
from benchmarks.task_registry import TASKS
from engine.task import DataReport, RunPlan, RunRequest
from engine.training_checks.checkpoint_digests import CheckpointOwner, find_digest_fault, get_digest_path
from foundation.errors import BenchError, UnknownNameError
from results.records.record import PRETRAINING_DOMAIN, Record
from results.records.verification import VerificationCheck
from results.statistics.rounding import is_same_up_to_rounding

CHECKPOINT_PATTERNS = ("step_*.pth", "best_*.pth", "last_*.pth")


def check_metric_specs(record: Record) -> Iterator[VerificationCheck]:
    """Check that the record's metrics have the unit, direction and statistic that the task declares."""
    if record.domain == PRETRAINING_DOMAIN:
        return
    try:
        task = TASKS.get(record.task)
    except BenchError as error:
        yield VerificationCheck("task", "unchecked", str(error))
        return
    for spec in task.metrics:
        metric = record.result.metrics.get(spec.name) if record.result else None
        if metric is None:
            continue
        if (metric.unit, metric.higher_is_better) != (spec.unit, spec.higher_is_better):
            yield VerificationCheck(spec.name, "fails", f"the task declares {spec}, the record says otherwise")
        # a record that says nothing is older, or made before the task declared it; that is no contradiction
        if metric.statistic is not None and metric.statistic.to_statistic() != spec.statistic:
            text = f"the task declares {spec.statistic}, the record says {metric.statistic.to_statistic()}"
            yield VerificationCheck(spec.name, "fails", text)
    if record.result and record.result.primary_metric != task.metrics[0].name:
        text = f"the record calls {record.result.primary_metric} primary, the task {task.metrics[0].name}"
        yield VerificationCheck("primary metric", "fails", text)


def check_data_fingerprint(record: Record, data_dir: Path) -> Iterator[VerificationCheck]:
    """Check that the data under ``data_dir`` (or where the record says they were) have the record's fingerprint."""
    if record.domain == PRETRAINING_DOMAIN:
        yield VerificationCheck("data", "unchecked", "the images of a pre-training are not read again")
        return
    try:
        found = _check_data_cached(record.task, _resolve_data_root(record, data_dir))
    except BenchError as error:
        yield VerificationCheck("data", "unchecked", str(error))
        return
    if found.fingerprint != record.data.fingerprint:
        text = f"the data here are {found.fingerprint[:12]}..., the run's were {record.data.fingerprint[:12]}..."
        yield VerificationCheck("data", "fails", text)
    elif dict(found.splits) != record.data.splits or list(found.deviations) != record.data.deviations:
        yield VerificationCheck("data", "fails", f"the fingerprint holds, but the splits here are {dict(found.splits)}")
    else:
        yield VerificationCheck(
            "data", "holds", f"fingerprint {found.fingerprint[:12]}..., {sum(found.splits.values()):,} items"
        )


# a folder may hold hundreds of runs on one data set, and reading a set takes minutes
@lru_cache(maxsize=16)
def _check_data_cached(task: str, root: Path) -> DataReport:
    return TASKS.get(task).check_data(root)


def reproduce_evaluation(folder: Path, record: Record, data_dir: Path, device: str) -> Iterator[VerificationCheck]:
    """Evaluate the stored weights again, and compare every metric.

    The run's checkpoints are copied to a temporary folder, and the run is started there: it resumes from the last
    step, finds its training complete, and only evaluates. So the evaluation goes through the same code as the run.
    """
    what = "evaluation"
    if record.status != "complete" or record.result is None:
        yield VerificationCheck(what, "unchecked", f"the run is {record.status}")
        return
    kept = sorted(path for pattern in CHECKPOINT_PATTERNS for path in folder.rglob(f"checkpoints/{pattern}"))
    if not kept:
        text = "no checkpoint is stored (with a frozen backbone the evaluation is the run: bench run ... --fresh)"
        yield VerificationCheck(what, "unchecked", text)
        return
    faults = [find_digest_fault(path, CheckpointOwner("", record.seed)) for path in kept]
    if fault := next(filter(None, faults), None):
        # found here, since a resume would go on from the checkpoint before it, which means to train
        yield VerificationCheck(what, "fails", fault)
        return
    with tempfile.TemporaryDirectory(prefix="bench-verify-") as name:
        scratch = Path(name)
        for path in kept:
            target = scratch / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            if get_digest_path(path).is_file():  # checkpoints of earlier versions have none
                get_digest_path(target).parent.mkdir(exist_ok=True)
                shutil.copyfile(get_digest_path(path), get_digest_path(target))
        try:
            yield from _compare_reevaluation(
                record, data_dir, device, scratch, {path.relative_to(folder) for path in kept}
            )
        except (BenchError, ValueError, KeyError) as error:  # settings of an older bench, or edited ones
            yield VerificationCheck(
                what, "unchecked", f"the evaluation could not be repeated: {str(error).splitlines()[0]}"
            )


def _compare_reevaluation(
    record: Record, root: Path, device: str, work_dir: Path, checkpoints: set[Path]
) -> Iterator[VerificationCheck]:
    from engine.device import resolve_device
    from engine.run_environment import collect_run_environment

    assert record.result is not None
    task, card = TASKS.get(record.task), _require_same_card(record)
    _require_last_checkpoint(record, checkpoints)
    device = resolve_device(device)
    outcome = task.run(
        _make_request(record, card, _resolve_data_root(record, root), device), _make_plan(record), work_dir
    )
    # the same bits are only promised on the same device with the same packages; elsewhere a difference is no fault
    here = collect_run_environment(device, record.environment.precision, [])
    same = (here.device, here.packages) == (record.environment.device, record.environment.packages)
    for name, metric in record.result.metrics.items():
        value = outcome.metrics[name].value if name in outcome.metrics else None
        if value is not None and is_same_up_to_rounding(metric.value, value):
            yield VerificationCheck(f"{name} evaluated again", "holds", f"{value:g} {metric.unit}")
        else:
            apart = "it is missing" if value is None else f"{value:g} {metric.unit}, the record says {metric.value:g}"
            where = "" if same else f"; the run was made on {record.environment.device} or with other packages"
            yield VerificationCheck(f"{name} evaluated again", "fails" if same else "unchecked", apart + where)


def _require_last_checkpoint(record: Record, checkpoints: set[Path]) -> None:
    """Accept only checkpoints of a complete training; with others the run would go on training.

    Raises:
        UnknownNameError: the last step is not among them.
    """
    recipe = record.config.get("recipe", {})
    length = recipe.get("epochs") or recipe.get("iterations")
    folders = {path.parent for path in checkpoints}
    for folder in sorted(folders):
        if folder / f"step_{length or 0:08d}.pth" not in checkpoints:
            raise UnknownNameError(
                f"{folder} lacks the checkpoint of the last step ({length}), so the run would be trained further"
            )


def _require_same_card(record: Record) -> BackboneCard:
    """Return the registry's card, if it is still equal to the record's.

    Raises:
        UnknownNameError: the card has changed since.
    """
    card = get_card(record.backbone.name)
    stated = record.backbone.card
    changed = [key for key, value in card.identity_dict().items() if key in stated and stated[key] != value]
    if changed:
        raise UnknownNameError(f"the card of {card.name} has changed since ({', '.join(changed)})")
    return card


def _make_request(record: Record, card: BackboneCard, root: Path, device: str) -> RunRequest:
    """Return the request of the run. Its checkpoints replace all start weights, so none are read (``random``)."""
    return RunRequest(
        card=card,
        start=InitialWeights("random", None, None),
        protocol=record.protocol,
        tier=record.tier,
        seed=record.seed,
        overrides=(),
        data_root=root,
        device=device,
        allow_partial=record.backbone.allow_partial,
        data_scale=float(record.config.get("data_scale", 1.0)),
    )


def _make_plan(record: Record) -> RunPlan:
    return RunPlan(
        protocol_version=record.protocol_version,
        config=record.config,
        non_identity_settings=record.non_identity_settings,
        backbone_kwargs=record.backbone.arguments,
        num_expected_items=record.expected,
        steps=(),
    )


def _resolve_data_root(record: Record, root: Path) -> Path:
    """Return where the run says its data were, if ``root`` does not exist."""
    stated: Any = record.result.details.get("data_root") if record.result else None
    return Path(stated) if isinstance(stated, str) and not root.is_dir() else root
