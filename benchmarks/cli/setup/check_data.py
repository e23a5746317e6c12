"""``bench check data TASK``: check the data, say what is in them, and draw a sheet of samples to look at."""

from __future__ import annotations

import io
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

from benchmarks.cli.common_options import collect_data_options
from benchmarks.cli.output import write_json, write_stdout
from engine.pictures.sheet_files import SHEET_FOLDER, SHEET_MARK, is_contact_sheet
from engine.summary.class_names import shorten_class_names
from engine.summary.data_summary import DataSummary, SplitSummary
from engine.summary.image_headers import ImageFacts
from engine.task import DataReport
from foundation.display_text import format_one_line
from foundation.environment import resolve_data_root
from foundation.errors import UserError
from foundation.files import write_atomic
from foundation.run_scope import open_run_scope
from foundation.storage.write_faults import make_storage_error

_MAX_LISTED_CLASSES = 12
"""Maximum number of classes that are listed one by one."""
_NUM_EXTREMES = 4
"""Of more classes, as many of the largest and of the smallest."""


def check_data(options: Namespace) -> int:
    """Check and summarize the data of a task.

    Returns:
        The exit code: 1 if a test item is in the training data.

    Raises:
        DataError: the data cannot be used.
        UserError: the sheet cannot be written.
    """
    # bench --help reads this module, so the task registry is imported only here
    from benchmarks.task_registry import TASKS
    from engine.data.data_options import require_task_options

    root, task = resolve_data_root(options.data_root), TASKS.get(options.name)
    data_options = collect_data_options(options)
    require_task_options(task, data_options)
    if options.sheet is not None:
        _require_free_place(options.sheet, root if "exclude" in task.data_options else None)
    # unusable data raise DataError, which main turns into one sentence and exit code 2
    with open_run_scope(hashes_all=options.hash_all, data_options=data_options):
        report = task.check_data(root, "all" if options.all else "sample")
        summary = task.summarize_data(root)
        # JSON is read by programs, which ask for a picture where they want one
        sheet = options.sheet or (None if options.json else SHEET_FOLDER / f"{options.name}.png")
        if not options.json:
            lines = _format_report(options, report, summary)
            # one line each: sentences about foreign data name their files
            write_stdout("\n".join(map(format_one_line, lines)))
        # after the text, which a folder that cannot be written must not withhold
        if summary is not None and sheet is not None:
            _write_sheet(summary, sheet, f"{options.name}, {root}: {_count_items(report)}")
    if options.json:
        data = {"task": options.name, "root": str(root), "options": data_options.as_dict(), **report.as_dict()}
        drawn = str(sheet) if summary and sheet else None
        write_json({**data, "summary": summary.as_dict() if summary else None, "sheet": drawn})
    elif summary is not None:
        write_stdout(format_one_line(f"{len(summary.samples)} samples are drawn in {sheet}: look at them"))
    # findings are for a person to judge, so that they do not change the exit code
    return 1 if report.duplicates else 0


def _count_items(report: DataReport) -> str:
    return ", ".join(f"{split} {count:,}" for split, count in report.splits.items())


def _require_free_place(sheet: Path, own_folder: Path | None) -> None:
    """Require that a sheet replaces no file of the user's and becomes no image of the data.

    Args:
        sheet: the file that the user names.
        own_folder: the data, if they are a folder of the user's own.

    Raises:
        UserError: it would.
    """
    if sheet.suffix.lower() != ".png":
        raise UserError(f"the contact sheet is a PNG image, and {sheet} does not end in .png; name another --sheet")
    if sheet.is_file() and not is_contact_sheet(sheet):
        raise UserError(f"{sheet} is there and is no contact sheet, so it is not replaced; name another --sheet")
    if own_folder is not None and sheet.resolve().is_relative_to(own_folder.resolve()):
        raise UserError(f"{sheet} lies in the data, where it would be taken for one of them; name another --sheet")


def _write_sheet(summary: DataSummary, path: Path, heading: str) -> None:
    """Draw the samples and write them as PNG.

    Raises:
        UserError: the file cannot be written.
    """
    from PIL.PngImagePlugin import PngInfo

    from engine.pictures.contact_sheet import draw_contact_sheet

    stream, mark = io.BytesIO(), PngInfo()
    mark.add_text("Software", SHEET_MARK)
    draw_contact_sheet(summary.draw_samples(), heading).save(stream, "PNG", pnginfo=mark)
    try:
        if path.parent == SHEET_FOLDER:
            SHEET_FOLDER.mkdir(parents=True, exist_ok=True)
        write_atomic(path, stream.getvalue())
    except OSError as error:
        reason = make_storage_error(path, error).strerror
        raise UserError(
            f"the contact sheet {path} cannot be written ({reason}); name another file with --sheet"
        ) from error


def _format_report(options: Namespace, report: DataReport, summary: DataSummary | None) -> list[str]:
    lines = []
    for split, count in report.splits.items():
        histogram = _format_histogram(report.class_counts.get(split, {}))
        lines.append(f"{split}: {count:,} {'item' if count == 1 else 'items'}{histogram}")
        if summary is not None and split in summary.splits:
            lines += _format_split(summary.splits[split], summary.label_unit)
    # what a run may train on besides, and its report does not count
    for split, facts in summary.splits.items() if summary is not None else ():
        if split not in report.splits:
            lines += [
                f"{split}: {facts.num_items:,} {'item' if facts.num_items == 1 else 'items'}",
                *_format_split(facts, ""),
            ]
    lines += [f"note: {note}" for note in report.notes]
    if summary is not None:
        # the check says in the same words what is in two splits
        said = {*report.notes, *report.duplicates}
        lines += [f"LOOK: {finding}" for finding in summary.findings if finding not in said]
    lines += [f"NOT THE OFFICIAL SET: {departure}" for departure in report.deviations]
    lines += [f"IN TWO SPLITS: {sentence}" for sentence in report.duplicates]
    lines.append("every file was opened" if options.all else "a sample of the files was opened; --all opens every one")
    verdict = "usable, but not the official set: runs need --subset" if report.deviations else "complete"
    if report.duplicates:
        verdict = "the test is not independent of the training data: runs need --allow-duplicates"
    fingerprint = f"fingerprint {report.fingerprint[:16]} over {report.coverage}"
    return [*lines, fingerprint, f"{options.name}: {verdict}"]


def _format_histogram(histogram: Mapping[str, int]) -> str:
    """Describe the label histogram of a split; the text is empty for data without labels."""
    if not histogram:
        return ""
    counts = sorted(histogram.values())
    text = f" in {len(counts)} classes, {counts[0]} to {counts[-1]} each"
    # the classes of ImageNet would fill the screen
    if len(counts) <= _MAX_LISTED_CLASSES:
        text += " (" + ", ".join(f"{name} {count}" for name, count in histogram.items()) + ")"
    return text


def _format_split(split: SplitSummary, label_unit: str) -> list[str]:
    """Return the indented lines below a split."""
    facts = _describe_images(split.images, split.num_items) | dict(split.facts)
    if label_unit.startswith("%"):
        facts["pixels"] = _format_shares(split.labels)
    # fewer classes are in the line of the split, and equal numbers are said there
    elif len(split.labels) > _MAX_LISTED_CLASSES and len(set(split.labels.values())) > 1:
        facts["classes"] = _format_extremes({name: f"{count:,.0f}" for name, count in _sort_labels(split.labels)})
    return [f"  {words:8} {text}" for words, text in facts.items()]


def _describe_images(images: ImageFacts | None, num_items: int) -> dict[str, str]:
    if images is None:
        return {}
    size, count = images.most_common
    text = f"{_format_size(size)} px, all"
    if count < images.opened:
        text = (
            f"{_format_size(images.smallest)} to {_format_size(images.largest)} px, median "
            f"{_format_size(images.median)}, most often {_format_size(size)} ({100 * count / images.opened:.0f} %)"
        )
    if images.opened < num_items:
        text += f"; from {images.opened:,} headers, spread evenly"
    kinds = [f"{kind} {count:,}" for kind, count in images.pixels.items()]
    formats = [f"{kind} {count:,}" for kind, count in images.formats.items()]
    turned = [f"{images.turned:,} with an EXIF tag that turns them"] if images.turned else []
    return {"sizes": text, "images": "; ".join([", ".join(formats), ", ".join(kinds), *turned])}


def _format_size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _sort_labels(labels: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return the classes, the largest first."""
    return sorted(labels.items(), key=lambda entry: -entry[1])


def _format_shares(labels: Mapping[str, float]) -> str:
    """Describe the share of each class among the pixels."""
    names = shorten_class_names(labels)
    shares = {names[name]: f"{value:.1f} %" for name, value in _sort_labels(labels) if value > 0}
    absent = len(labels) - len(shares)
    text = _format_extremes(shares) if len(shares) > _MAX_LISTED_CLASSES else _join_entries(shares)
    return f"{text}; {absent} {'class' if absent == 1 else 'classes'} without" if absent else text


def _format_extremes(entries: Mapping[str, str]) -> str:
    items = list(entries.items())
    return (
        f"largest {_join_entries(dict(items[:_NUM_EXTREMES]))}; smallest {_join_entries(dict(items[-_NUM_EXTREMES:]))}"
    )


def _join_entries(entries: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in entries.items())
