"""``bench get weights NAME`` and ``bench get data TASK``: fetch weights or data."""

from __future__ import annotations

import argparse
from argparse import Namespace

from benchmarks.cli.common_options import add_data_root_option
from benchmarks.cli.output import write_json, write_stdout
from foundation.display_text import format_one_line
from foundation.environment import resolve_data_root


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("noun", choices=("weights", "data"), help="what to fetch")
    parser.add_argument("name", metavar="NAME", help="a backbone (bench list backbones) or a task (bench list tasks)")
    add_data_root_option(parser)


def main(options: Namespace) -> int:
    """Fetch weights or data, or find them on disk; if they must be downloaded by hand, the error says how."""
    if options.noun == "data":
        return _get_data(options)
    # imports torch and timm, which fetching data may not need
    from benchmarks.get_weights import locate_card_weights

    data = locate_card_weights(options.name)
    if options.json:
        write_json(data)
    else:
        write_stdout(f"{data['file']}\nrecipe: {data['recipe']}\nlicence: {data['licence']}\nsha256: {data['sha256']}")
    return 0


def _get_data(options: Namespace) -> int:
    # bench --help reads this module, so the task registry is imported only here
    from benchmarks.task_registry import TASKS

    root, task = resolve_data_root(options.data_root), TASKS.get(options.name)
    task.download_data(root)
    # a broken download is found now and not at the first run
    report = task.check_data(root, "sample")
    if options.json:
        write_json({"task": options.name, "root": str(root), **report.as_dict()})
    else:
        write_stdout(
            f"{options.name}: {', '.join(f'{name} {count:,}' for name, count in report.splits.items())} in {root}"
        )
        write_stdout("\n".join(map(format_one_line, [*report.notes, *report.deviations])))
    return 0
