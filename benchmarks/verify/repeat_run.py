"""Make a run again from its record alone, in a temporary store, and compare every number and every item."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.cell_record import complete_settings
from benchmarks.task_registry import TASKS
from benchmarks.verify.compare_tables import count_differing_rows
from benchmarks.verify.replay import format_overrides, replan_run, require_same_card, resolve_record_root
from engine.data.data_options import make_data_options
from foundation.errors import BenchError, UserError
from foundation.storage.leftovers import open_scratch_folder
from foundation.weights.shard_index import hash_weights
from results.records.identity import build_run_identity
from results.records.record import PRETRAINING_DOMAIN, Record
from results.records.verification import CheckState, VerificationCheck, find_start_weights
from results.statistics.item_files import read_item_table
from results.statistics.rounding import is_same_up_to_rounding


class RepeatedRun(NamedTuple):
    """A run that was made again: its folder (until the comparison is done) and its record."""

    folder: Path
    record: Record


def reproduce_run(folder: Path, record: Record, data_dir: Path, device: str) -> Iterator[VerificationCheck]:
    """Run a record's cell again and compare the outcome with the record.

    On the same device, with the same packages and as many threads, the numbers must be equal up to rounding; elsewhere
    a difference is reported and proves nothing.

    Args:
        folder: the run's folder.
        record: its record.
        data_dir: folder of the data sets.
        device: ``auto`` (the kind of device that the run was made on), ``cpu``, ``cuda`` or ``mps``.
    """
    if record.status != "complete":
        yield VerificationCheck("run again", "unchecked", f"the run is {record.status}")
        return
    with open_scratch_folder("rerun") as scratch:
        try:
            again = _repeat_run(folder, record, data_dir, device, scratch)
            checks = [*compare_outcomes(RepeatedRun(folder, record), again)]
        except (BenchError, ValueError, KeyError, TypeError) as error:  # settings of an older bench, or edited ones
            text = f"it cannot be made again here: {str(error).splitlines()[0]}"
            checks = [VerificationCheck("run again", "unchecked", text)]
    yield from checks


def _repeat_run(folder: Path, record: Record, data_dir: Path, device: str, out: Path) -> RepeatedRun:
    """Run the record's cell in the store ``out``.

    Raises:
        BenchError: something that the run needs is missing here, or it fails.
    """
    from benchmarks.resolve_cell import CellRequest
    from benchmarks.run_cell import run_cell

    if record.domain == PRETRAINING_DOMAIN:
        raise UserError("a pre-training is made again with bench pretrain ... --fresh")
    if record.environment.processes > 1:
        raise UserError(f"it was made by {record.environment.processes} processes, and this is one")
    require_same_card(record)
    root = resolve_record_root(record, data_dir)
    again = replan_run(record, TASKS.get(record.task).check_data(root), root)
    if again.plan.protocol_version != record.protocol_version:
        raise UserError(
            f"{record.protocol} is version {again.plan.protocol_version} here, the record is of version "
            f"{record.protocol_version}"
        )
    stated = complete_settings(again.plan, record.config["recipe"] | record.non_identity_settings)
    # rates are stated, even where they are those of the file: beside another batch size they would follow it
    named = (*again.file_values, *again.plan.rate_settings, "accumulate", "teacher_checkpoint")
    names = [name for name in dict.fromkeys(named) if name in stated]
    request = CellRequest(
        task=record.task,
        backbone=record.backbone.name,
        protocol=record.protocol,
        checkpoint=_find_checkpoint(folder, record),
        weights_key=_find_weights_key(folder, record),
        tier=record.tier,
        seed=record.seed,
        overrides=format_overrides({name: stated[name] for name in names}),
        data_root=root,
        out=out,
        device=choose_device(record, device),
        allow_partial=record.backbone.allow_partial,
        # the record has said what is unusual about its data, and the comparison below covers it
        allow_subset=True,
        allow_duplicates=True,
        data_scale=float(record.config.get("data_scale", 1.0)),
        hash_all=reads_every_byte(record),
        is_timed=False,  # a time cannot be made again, and is not compared
        data_options=make_data_options(record.data.options),
        force_new=True,
    )
    with use_threads(record.environment.threads):
        done = run_cell(request)
    return RepeatedRun(done.folder, done.record)


def reads_every_byte(record: Record) -> bool:
    """Return whether a record's fingerprint covers every byte of its data, so that a comparison has to read them."""
    from engine.data.file_hashes import FULL_COVERAGE

    return record.data.coverage == FULL_COVERAGE


def _find_checkpoint(folder: Path, record: Record) -> str | None:
    """Return what ``--checkpoint`` has to say: a file of the record's content, ``random``, or nothing for the card's.

    Raises:
        UserError: the start weights are not at hand.
    """
    stated = record.backbone.checkpoint
    if record.backbone.init == "memory":
        raise UserError("its backbone was a module in memory, which ended with its process")
    if stated is None:
        return "random"
    if record.backbone.init == "card":
        return None  # found by the card; the comparison shows whether it is the same content
    path = find_start_weights(stated, folder)
    if path is None or hash_weights(path) != stated.sha256:
        raise UserError(f"its start weights {stated.uri} (SHA-256 {stated.sha256[:12]}...) are not here")
    return str(path)


def _find_weights_key(folder: Path, record: Record) -> str | None:
    """Return what ``--weights-key`` has to say, so that the run starts from the same weights of the same file."""
    stated = record.backbone.checkpoint
    path = find_start_weights(stated, folder) if stated is not None else None
    if stated is None or path is None:
        return stated.weights_key if stated is not None else None
    from backbones.checkpoints.read_checkpoint import find_request_key

    return find_request_key(path, stated.weights_key)


def choose_device(record: Record, device: str) -> str:
    """Return the device to compute on; for ``auto`` the kind that the record names, if this machine has it."""
    # what the record says besides the kind is the name of the chip: "cuda (NVIDIA H100)"
    kind = record.environment.device.partition(" ")[0]
    return kind if device == "auto" and kind in ("cpu", "mps") else device


@contextmanager
def use_threads(count: int) -> Iterator[None]:
    """Let torch compute with a number of threads in the block: another number may round sums differently."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def compare_outcomes(run: RepeatedRun, again: RepeatedRun) -> Iterator[VerificationCheck]:
    """Compare identity, metrics and items of a run and of the one that was made from its record."""
    assert run.record.result is not None and again.record.result is not None
    elsewhere = _list_differences_of_place(run.record, again.record)
    changed = _list_changed_identity(run.record, again.record)
    state: CheckState = "unchecked" if elsewhere or changed else "fails"
    where = f"; made with another {', '.join([*elsewhere, *changed])}" if elsewhere or changed else ""
    if changed:
        text = f"the same request is another run here: {', '.join(changed)} changed since, or in the record"
        yield VerificationCheck("run again", "unchecked" if run.record.data.coverage is None else "fails", text)
    for name, metric in run.record.result.metrics.items():
        value = again.record.result.metrics[name].value if name in again.record.result.metrics else None
        if value is not None and is_same_up_to_rounding(metric.value, value):
            yield VerificationCheck(f"{name} run again", "holds", f"{value:g} {metric.unit}")
        else:
            apart = "it is missing" if value is None else f"{value:g} {metric.unit}, the record says {metric.value:g}"
            yield VerificationCheck(f"{name} run again", state, apart + where)
    before, now = (read_item_table(each.folder, each.record).columns for each in (run, again))
    differing = count_differing_rows(before, now)
    if differing:
        yield VerificationCheck("items run again", state, f"{differing} of {run.record.done} rows differ{where}")
    else:
        yield VerificationCheck("items run again", "holds", f"all {run.record.done} rows")


def _list_differences_of_place(first: Record, second: Record) -> list[str]:
    """Return in what two runs differ of that which may move last digits, and by them a training."""
    found = [
        name
        for name in ("device", "threads", "processes", "packages")
        if getattr(first.environment, name) != getattr(second.environment, name)
    ]
    chips = {record.cost.efficiency.chip for record in (first, second) if record.cost and record.cost.efficiency}
    return [*found, "chip"] if len(chips - {None}) > 1 else found


def _list_changed_identity(stated: Record, again: Record) -> list[str]:
    """Return which parts of the identity differ, of those that the record has: older ones have fewer."""
    first, second = build_run_identity(stated), build_run_identity(again)
    before = {**first.protocol_fields, **first.candidate_fields}
    now = {**second.protocol_fields, **second.candidate_fields}
    return [name for name, value in before.items() if now.get(name) != value]
