"""``bench get``: fetch weights or data, list what a machine needs, and carry it to one without network."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path

from benchmarks.cli.common_options import add_data_root_option
from benchmarks.cli.output import write_json, write_stdout
from foundation.display_text import format_one_line
from foundation.environment import resolve_data_root
from foundation.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("noun", nargs="?", choices=("weights", "data"), help="what to fetch")
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="a backbone (bench list backbones) or a task (bench list tasks)"
    )
    add_data_root_option(parser)
    action = parser.add_mutually_exclusive_group()
    text = "list what the given tasks and backbones need, with sizes, sources, licences and SHA-256, and what is here"
    action.add_argument("--list", action="store_true", help=text)
    text = (
        "write an archive (.tar.zst, .tar.gz) of the weights that are here, to carry them to a machine without network"
    )
    action.add_argument("--pack", type=Path, metavar="FILE", help=text)
    text = "restore an archive of --pack: all is checked first, and no other file is overwritten"
    action.add_argument("--unpack", type=Path, metavar="FILE", help=text)
    text = "for --list and --pack: tasks whose data are needed"
    parser.add_argument("--tasks", nargs="+", default=[], metavar="TASK", help=text)
    text = "for --list and --pack: backbones whose weights are needed"
    parser.add_argument("--backbones", nargs="+", default=[], metavar="NAME", help=text)
    text = "for --pack: pack the data of the tasks too; look at their terms first"
    parser.add_argument("--with-data", action="store_true", help=text)


def main(options: Namespace) -> int:
    """Fetch weights or data, list what is needed, or pack and unpack it."""
    _require_one_purpose(options)
    if options.unpack is not None:
        return _unpack_supplies(options)
    if options.list or options.pack is not None:
        return _list_or_pack(options)
    return _get_data(options) if options.noun == "data" else _get_weights(options)


def _require_one_purpose(options: Namespace) -> None:
    carries = options.list or options.pack is not None
    if (options.noun is not None) == (carries or options.unpack is not None):
        raise UserError("say either what to fetch (weights NAME, data TASK) or one of --list, --pack and --unpack")
    if options.noun is not None and options.name is None:
        raise UserError(f"say which {options.noun} to fetch: bench get {options.noun} NAME")
    if carries != bool(options.tasks or options.backbones):
        raise UserError("--list and --pack need --tasks or --backbones, and these two are for them only")
    if options.with_data and options.pack is None:
        raise UserError("--with-data is for --pack")


def _get_weights(options: Namespace) -> int:
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


def _list_or_pack(options: Namespace) -> int:
    from benchmarks.transfer.offline_pack import describe_packed, pack_supplies
    from benchmarks.transfer.requirements import convert_requirements, describe_requirements, list_requirements

    needed = list_requirements(options.tasks, options.backbones, resolve_data_root(options.data_root))
    if options.pack is None:
        if options.json:
            write_json(convert_requirements(needed))
        else:
            write_stdout(describe_requirements(needed))
        return 0
    packed = pack_supplies(needed, options.pack, with_data=options.with_data)
    if options.json:
        write_json({**packed._asdict(), "archive": str(packed.archive)})
    else:
        write_stdout(describe_packed(packed))
    return 0


def _unpack_supplies(options: Namespace) -> int:
    from benchmarks.transfer.offline_pack import describe_restored, unpack_supplies

    restored = unpack_supplies(options.unpack, resolve_data_root(options.data_root))
    if options.json:
        write_json({"written": list(map(str, restored.written)), "num_present": restored.num_present})
    else:
        write_stdout(describe_restored(restored))
    return 0
