"""``bench get weights NAME`` and ``bench get data TASK``."""

from __future__ import annotations

import argparse
from argparse import Namespace

from benchmarks.cli.common_options import add_data_root_option
from benchmarks.cli.output import write_json, write_stdout
from foundation.environment import resolve_data_root


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the verb."""
    parser.add_argument("noun", choices=("weights", "data"), help="what to fetch")
    parser.add_argument("name", metavar="NAME", help="a backbone (bench list backbones) or a task (bench list tasks)")
    add_data_root_option(parser)


def main(options: Namespace) -> int:
    """Fetch (or find) a card's weights; for those that are fetched by hand say what, from where and where to."""
    if options.noun == "data":
        return _get_data(options)
    from benchmarks.get_weights import locate_card_weights

    data = locate_card_weights(options.name)
    if options.json:
        write_json(data)
    else:
        write_stdout(f"{data['file']}\nrecipe: {data['recipe']}\nlicence: {data['licence']}\nsha256: {data['sha256']}")
    return 0


def _get_data(options: Namespace) -> int:
    from benchmarks.task_registry import TASKS

    root, task = resolve_data_root(options.data_root), TASKS.get(options.name)
    task.download_data(root)
    report = task.check_data(root, "sample")
    if options.json:
        write_json({"task": options.name, "root": str(root), **report.as_dict()})
    else:
        write_stdout(
            f"{options.name}: {', '.join(f'{name} {count:,}' for name, count in report.splits.items())} in {root}"
        )
        write_stdout("\n".join([*report.notes, *report.deviations]))
    return 0
