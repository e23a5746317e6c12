"""Evaluate the stored weights of a run again, and compare the numbers."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.task_registry import TASKS
from benchmarks.verify.replay import make_request, require_same_card, resolve_record_root
from engine.task import RunPlan
from engine.training_checks.checkpoint_digests import CheckpointOwner, find_digest_fault
from foundation.errors import BenchError, UnknownNameError
from foundation.storage.leftovers import open_scratch_folder
from results.records.record import Record
from results.records.verification import VerificationCheck
from results.statistics.rounding import is_same_up_to_rounding

CHECKPOINT_PATTERNS = ("step_*.pth", "best_*.pth", "last_*.pth")


def reproduce_evaluation(folder: Path, record: Record, data_dir: Path, device: str) -> Iterator[VerificationCheck]:
    """Evaluate the stored weights again, and compare every metric.

    The run's checkpoints are copied to a temporary folder, and the run is started there: it resumes from the last
    step, finds its training complete, and only evaluates. So the evaluation goes through the same code as the run.
    """
    what = "evaluation"
    if record.status != "complete" or record.result is None:
        yield VerificationCheck(what, "unchecked", f"the run is {record.status}")
        return
    kept = _list_checkpoints(folder)
    if not any(path.suffix == ".pth" for path in kept):
        text = "no checkpoint is stored (with a frozen backbone the evaluation is the run: bench run ... --fresh)"
        yield VerificationCheck(what, "unchecked", text)
        return
    if fault := _find_checkpoint_fault(folder, record, kept):
        # found here, since a resume would go on from the checkpoint before it, which means to train
        yield VerificationCheck(what, "fails", fault)
        return
    with open_scratch_folder("verify") as scratch:
        for path in kept:
            target = scratch / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        try:
            yield from _compare_reevaluation(
                record, data_dir, device, scratch, {path.relative_to(folder) for path in kept}
            )
        except (BenchError, ValueError, KeyError) as error:  # settings of an older bench, or edited ones
            yield VerificationCheck(
                what, "unchecked", f"the evaluation could not be repeated: {str(error).splitlines()[0]}"
            )


def _list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints below a run's folder, and the descriptions that say whose they are."""
    found = sorted(path for pattern in CHECKPOINT_PATTERNS for path in folder.rglob(f"checkpoints/{pattern}"))
    return [*found, *sorted(folder.rglob("checkpoints/sha256/*.json"))]


def _find_checkpoint_fault(folder: Path, record: Record, paths: list[Path]) -> str | None:
    """Return why a checkpoint is not one of this run, as a sentence; those of earlier versions do not say whose."""
    for path in paths:
        # a run with several trainings (a search) has a folder for each, which is part of its owner's name
        training = path.relative_to(folder).parent.parent.as_posix()
        owner = record.run_id if training == "." else f"{record.run_id}/{training}"
        if path.suffix == ".pth" and (fault := find_digest_fault(path, CheckpointOwner(owner, record.seed))):
            return fault
    return None


def _compare_reevaluation(
    record: Record, root: Path, device: str, work_dir: Path, checkpoints: set[Path]
) -> Iterator[VerificationCheck]:
    from engine.device import resolve_device
    from engine.run_environment import collect_run_environment

    assert record.result is not None
    task, card = TASKS.get(record.task), require_same_card(record)
    _require_last_checkpoint(record, checkpoints)
    device = resolve_device(device)
    # the checkpoints replace all start weights, so none are read
    request = make_request(record, card, resolve_record_root(record, root), device)
    if any(path.suffix == ".json" for path in checkpoints):  # they say whose they are, which is compared
        request = replace(request, run_id=record.run_id)
    outcome = task.run(request, _make_plan(record), work_dir)
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
    folders = {path.parent for path in checkpoints if path.suffix == ".pth"}
    for folder in sorted(folders):
        if folder / f"step_{length or 0:08d}.pth" not in checkpoints:
            raise UnknownNameError(
                f"{folder} lacks the checkpoint of the last step ({length}), so the run would be trained further"
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
