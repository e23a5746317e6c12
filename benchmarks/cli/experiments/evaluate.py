"""``bench evaluate TASK``: test a finished model as it is; nothing is trained."""

from __future__ import annotations

import argparse
from argparse import Namespace
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmarks.cli.common_options import (
    add_data_root_option,
    add_hash_option,
    add_layout_options,
    add_output_options,
    add_overrides_option,
    collect_data_options,
)
from benchmarks.cli.format_cell import cell_to_dict, format_cell
from benchmarks.cli.output import align_columns, write_json, write_stdout
from benchmarks.cli.start_options import add_label_option, add_model_options, make_model_source

# only for annotations: the module imports torch
if TYPE_CHECKING:
    from benchmarks.evaluation.evaluate_model import EvaluationRequest, OpenedEvaluation

_SHORT_FORMS = {
    "--img-size": ("N", "side of the model's input, pixels"),
    "--crop-pct": ("FRACTION", "classification: side of the central crop over that of the resized image"),
    "--interpolation": ("NAME", "classification: bicubic, bilinear ..."),
    "--class-map": ("FILE", "classification: CSV of folder and class of the head"),
    "--real-labels": ("FILE", "imagenet: the ReaL labels, a JSON list of lists"),
    "--mode": ("slide|whole", "segmentation: sliding window or the whole image"),
}
"""Short forms of ``--set``: the option, its value, and what it is for."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("task", metavar="TASK", help="task whose test items are used (bench list tasks)")
    add_model_options(parser)
    add_label_option(parser)
    add_overrides_option(parser, "apply the model otherwise than its own settings say, e.g. crop_pct=1.0")
    for option, (metavar, purpose) in _SHORT_FORMS.items():
        parser.add_argument(option, metavar=metavar, help=f"{purpose} (same as --set {_get_key(option)}=...)")
    text = "classification: average the outputs for the image and its mirror image (same as --set tta_flip=true)"
    parser.add_argument("--tta-flip", action="store_true", help=text)
    add_data_root_option(parser)
    parser.add_argument("--subset", action="store_true", help="accept data that are not the complete official set")
    text = "accept test items whose content is also in the training data; the record keeps it"
    parser.add_argument("--allow-duplicates", action="store_true", help=text)
    add_hash_option(parser)
    add_layout_options(parser)
    text = "evaluate again although a record exists, and read no cache; the old record is kept"
    parser.add_argument("--fresh", action="store_true", help=text)
    text = "print id, board, data and every setting of the evaluation, and compute nothing"
    parser.add_argument("--dry-run", action="store_true", help=text)
    add_output_options(parser)


def main(options: Namespace) -> int:
    """Evaluate one model on one task, and write its record."""
    # imported here, because torch takes seconds and --device must be known before
    from benchmarks.evaluation.evaluate_model import evaluate_model, open_evaluation
    from benchmarks.evaluation.submissions import write_submission

    request = replace(make_evaluation_request(options), command_line=tuple(options.command_line))
    if options.dry_run:
        opened = open_evaluation(request)
        if options.json:
            write_json(_describe_evaluation(opened))
        else:
            write_stdout(_format_evaluation(opened))
        return 0
    if report := write_submission(request):
        if options.json:
            write_json(dict(report.data))
        else:
            write_stdout(report.text)
        return 0
    cell = evaluate_model(request)
    if options.json:
        write_json([cell_to_dict(cell)])
    else:
        write_stdout(format_cell(cell))
    return 0


def make_evaluation_request(options: Namespace) -> EvaluationRequest:
    """Return the evaluation that the options of the verb ask for, still without its command line.

    Raises:
        UnknownNameError: there is no such run.
    """
    from benchmarks.evaluation.evaluate_model import EvaluationRequest
    from foundation.environment import resolve_data_root

    return EvaluationRequest(
        task=options.task,
        source=make_model_source(options, (*options.overrides, *_make_short_overrides(options))),
        data_root=resolve_data_root(options.data_root),
        out=options.out,
        allow_subset=options.subset,
        allow_duplicates=options.allow_duplicates,
        hash_all=options.hash_all,
        data_options=collect_data_options(options),
        force_new=options.fresh,
        label=options.label,
    )


def _get_key(option: str) -> str:
    return option.removeprefix("--").replace("-", "_")


def _make_short_overrides(options: Namespace) -> list[str]:
    """Return the overrides for the short forms of ``--set``."""
    values = {key: getattr(options, key) for key in map(_get_key, _SHORT_FORMS)}
    found = [f"{key}={value}" for key, value in values.items() if value is not None]
    return [*found, "tta_flip=true"] if options.tta_flip else found


def _describe_evaluation(opened: OpenedEvaluation) -> dict[str, Any]:
    """Return what an evaluation would do, as plain data."""
    record = opened.record
    return {
        "run_id": record.run_id,
        "comparability": record.comparability,
        "device": opened.evaluation.device,
        "notes": [*opened.evaluation.plan.notes, *opened.evaluation.data.notes],
        **record.model_dump(mode="json", include={"task", "protocol", "backbone", "config", "data", "expected"}),
    }


def _format_evaluation(opened: OpenedEvaluation) -> str:
    """Describe what an evaluation would do."""
    record, facts = opened.record, _describe_evaluation(opened)
    start = record.backbone.checkpoint
    rows = [
        ("id", record.run_id),
        ("board", record.comparability),
        ("model", record.backbone.name),
        ("weights", f"{start.uri}, SHA-256 {start.sha256[:12]}..." if start else "none"),
        ("data", ", ".join(f"{name} {count}" for name, count in record.data.splits.items())),
        ("device", facts["device"]),
        *((f"model's {name}", str(value)) for name, value in sorted(record.backbone.arguments.items())),
        *((f"board's {name}", str(value)) for name, value in sorted(record.config.get("recipe", {}).items())),
        *(("note", note) for note in facts["notes"]),
    ]
    return "\n".join(
        [f"{record.task} {record.protocol}", align_columns([(f"  {name}", value) for name, value in rows])]
    )
