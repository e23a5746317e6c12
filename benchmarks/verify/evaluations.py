"""Check the record of an evaluation: what follows from its files, and, by evaluating again, from its model.

A finished model has no plan that could be made again: its settings belong to the model, which only its own evaluation
opens. What needs the model is therefore unchecked until the evaluation is made again.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from backbones.registry import get_card
from benchmarks.task_registry import TASKS
from benchmarks.verify.recorded_command import parse_recorded_command
from benchmarks.verify.repeat_run import RepeatedRun, choose_device, compare_outcomes, reads_every_byte, use_threads
from benchmarks.verify.replay import find_changed_fields, resolve_record_root
from benchmarks.verify.stored_predictions import check_stored_predictions
from benchmarks.verify.task_checks import check_items, check_metric_specs, check_task_source
from classification.as_is.predictions import PREDICTIONS_FILE
from classification.image_tasks import ImageTask
from deployment.export_folder import EXPORT_FOLDER
from engine.data.data_options import make_data_options
from foundation.errors import BenchError, RecordError, UserError
from foundation.files import sha256_file
from foundation.storage.leftovers import open_scratch_folder
from foundation.storage.regular_files import read_regular
from results.records.record import Record
from results.records.verification import VerificationCheck
from results.statistics.item_files import MAX_ITEM_BYTES, read_item_table


def check_evaluation(folder: Path, record: Record, data_dir: Path, *, is_repeated: bool) -> Iterator[VerificationCheck]:
    """Check an evaluation against the registry, its task and the data at hand, without its model.

    Args:
        folder: the folder of the evaluation.
        record: its record.
        data_dir: folder of the data sets.
        is_repeated: whether ``repeat_evaluation`` follows, which checks what only the model says.
    """
    yield _check_card(record)
    if not is_repeated:
        text = "only the model says what they have to be; --rerun-eval opens it again and compares"
        yield VerificationCheck("model, data and settings", "unchecked", text)
    yield from _check_exports(folder, record)
    try:
        task = TASKS.get(record.task)
    except BenchError as error:
        yield VerificationCheck("task", "unchecked", str(error))
        return
    # these follow from the record and the task alone
    yield from check_metric_specs(record, task)
    yield from check_task_source(record, task)
    yield from _check_predictions(folder, record)
    root = resolve_record_root(record, data_dir)
    # whether the data here are those of the evaluation is not known without the model, so a difference proves nothing
    list_items = task.list_test_items
    if isinstance(task, ImageTask):
        # an evaluation read the test split alone, and whoever checks it may have no other images either
        list_items = partial(task.list_evaluated_items, fingerprint=record.data.fingerprint)
    yield from _leave_open(check_items(folder, record, list_items, root))
    yield from _leave_open(check_stored_predictions(folder, record, task, root))


def _check_card(record: Record) -> VerificationCheck:
    if record.backbone.init == "memory":
        return VerificationCheck("card", "unchecked", "the model was in memory, and ended with its process")
    try:
        card = get_card(record.backbone.name)
    except BenchError as error:
        return VerificationCheck("card", "unchecked", str(error))
    if changed := find_changed_fields(record, card):
        # the file of a finished model may state its own input
        text = f"the card of {card.name} here has another {' and '.join(changed)} than the record's"
        return VerificationCheck("card", "unchecked", text)
    return VerificationCheck("card", "holds", f"that of {card.name} here")


def _check_exports(folder: Path, record: Record) -> Iterator[VerificationCheck]:
    """Compare the files of an export that lie beside the record with those that were scored."""
    details = record.result.details if record.result else {}
    # of a segmentor one export for each size, by the size; a record may hold anything
    exports = details.get("exports")
    stated = {"": details.get("export"), **(exports if isinstance(exports, dict) else {})}
    for size, export in stated.items():
        files = export.get("files") if isinstance(export, dict) else None
        for name, sha256 in files.items() if isinstance(files, dict) else ():
            # an archive of records has no exports; names with folders would lead out of the evaluation's own
            found = [
                path
                for place in ("", Path(size).name)
                for path in (folder / EXPORT_FOLDER / place).glob("*/*")
                if path.name == name and path.is_file() and not path.is_symlink()
            ]
            if not found:
                continue
            subject = f"export {Path(name).name}"
            if any(sha256_file(path) == sha256 for path in found):
                yield VerificationCheck(subject, "holds", "it has the SHA-256 of the record")
            else:
                text = f"{found[0]} is not the file that was scored (its SHA-256 differs)"
                yield VerificationCheck(subject, "fails", text)


def _check_predictions(folder: Path, record: Record) -> Iterator[VerificationCheck]:
    """Check that the predictions beside the table of a classifier are those of the table."""
    path = folder / PREDICTIONS_FILE
    if record.domain != "classification" or record.result is None:
        return
    try:
        expected = list(read_item_table(folder, record).columns["prediction"])
        content = read_regular(path, MAX_ITEM_BYTES).decode("utf-8")
        written = list(csv.DictReader(io.StringIO(content, newline="")))
    except (RecordError, KeyError):  # reported with the per-item files
        return
    except (OSError, ValueError, csv.Error) as error:
        # they are for people and for bench score; no number of the record follows from them
        yield VerificationCheck(PREDICTIONS_FILE, "unchecked", f"it cannot be read ({error})")
        return
    # by the numbers first; the name of a class has to go with one number alone
    names = {(row.get("index"), row.get("class")) for row in written}
    if [row.get("index") for row in written] != expected or len(names) != len({index for index, _ in names}):
        text = "its classes are not those of the per-item table; it was changed, or another command wrote it"
        yield VerificationCheck(PREDICTIONS_FILE, "fails", text)
    else:
        yield VerificationCheck(PREDICTIONS_FILE, "holds", f"the classes of the table, {len(written):,} rows")


def _leave_open(checks: Iterable[VerificationCheck]) -> Iterator[VerificationCheck]:
    """Yield the checks, those that fail as unchecked."""
    for check in checks:
        yield check._replace(state="unchecked") if check.state == "fails" else check


def repeat_evaluation(folder: Path, record: Record, data_dir: Path, device: str) -> Iterator[VerificationCheck]:
    """Make an evaluation again by its recorded command, and compare id, metrics and items.

    Args:
        folder: the folder of the evaluation.
        record: its record.
        data_dir: folder of the data sets.
        device: ``auto`` (the kind of device that it was made on), ``cpu``, ``cuda`` or ``mps``.
    """
    if record.status != "complete":
        yield VerificationCheck("evaluation", "unchecked", f"it is {record.status}")
        return
    with open_scratch_folder("evaluate") as scratch:
        try:
            again = _evaluate_again(record, data_dir, device, scratch)
            checks = [*compare_outcomes(RepeatedRun(folder, record), again)]
            # another id is reported among the outcomes, with what differs
            if again.record.run_id == record.run_id:
                text = f"opened again, they give the same id {record.run_id}"
                checks.insert(0, VerificationCheck("model, data and settings", "holds", text))
        except (BenchError, ValueError, KeyError, TypeError) as error:  # a command of an older bench, or an edited one
            text = f"it cannot be made again here: {str(error).splitlines()[0]}"
            checks = [VerificationCheck("evaluation", "unchecked", text)]
    yield from checks


def _evaluate_again(record: Record, data_dir: Path, device: str, out: Path) -> RepeatedRun:
    """Make the evaluation that the recorded command asks for in the store ``out``.

    Raises:
        BenchError: the command does not say which model, or something that it names is missing here.
    """
    from benchmarks.cli.experiments.evaluate import make_evaluation_request
    from benchmarks.evaluation.evaluate_model import evaluate_model

    options = parse_recorded_command(record)
    if options is None or not record.is_evaluation:
        raise UserError("it was not made by bench evaluate, so nothing says which model it was")
    # an edited record must not be compared with the evaluation of another data set
    if options.task != record.task:  # reported with the command
        raise UserError(f"its command evaluates on {options.task}, not on {record.task}")
    # a config of mmsegmentation is code, and whoever wrote the record chose it: no check may execute it
    if options.config is not None:
        raise UserError(
            "its model is a config file, which is code; if you trust it, run the record's command yourself with "
            "--fresh, and compare the two ids with bench compare"
        )
    # relative paths of the command are those of this folder now; what is not found is said, and proves nothing
    asked = make_evaluation_request(options)
    request = replace(
        asked,
        source=replace(asked.source, device=choose_device(record, device)),
        data_root=resolve_record_root(record, data_dir),
        out=out,
        # the record has said what is unusual about its data, and the comparison covers it
        allow_subset=True,
        allow_duplicates=True,
        hash_all=reads_every_byte(record),
        data_options=make_data_options(record.data.options),
        force_new=True,
    )
    # another number of threads may round sums differently, which would look like a fault
    with use_threads(record.environment.threads):
        done = evaluate_model(request)
    return RepeatedRun(done.folder, done.record)
