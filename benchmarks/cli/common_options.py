"""Options that several verbs share. Imports nothing heavy."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.cli.arguments.number_types import parse_label_value, parse_seed
from engine.device import DEVICES
from engine.processes.launcher import LAUNCHERS

if TYPE_CHECKING:
    from engine.data.data_options import DataOptions

RENAMED_OPTIONS = {"--low": "--lost-threshold", "--health": "--knn-data"}
"""Options of earlier versions and their present names; ``bench`` names the new one when the old one is used."""


def add_data_root_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--data-root``, the folder of the data sets."""
    text = "folder of the data sets; default: $BENCH_DATA, else data/"
    # None and not the path: $BENCH_DATA is read when the verb runs, so the parser (and its page) does not depend on it
    parser.add_argument("--data-root", type=Path, default=None, metavar="DIR", help=text)


def add_device_option(
    parser: argparse.ArgumentParser, purpose: str = "where to compute; auto uses a GPU if there is one"
) -> None:
    """Add ``--device``.

    Args:
        parser: the parser of a verb.
        purpose: help text.
    """
    # auto never means mps, because not everything runs there. There is no "cuda:1": on a machine with several GPUs,
    # CUDA_VISIBLE_DEVICES selects one
    parser.add_argument("--device", choices=DEVICES, default="auto", help=purpose)


def add_output_options(parser: argparse.ArgumentParser, out: Path = Path("runs")) -> None:
    """Add ``--out`` and ``--device``, for verbs that compute.

    Args:
        parser: the parser of a verb.
        out: default of ``--out``.
    """
    parser.add_argument("--out", type=Path, default=out, metavar="DIR", help=f"folder of the runs; default: {out}/")
    add_device_option(parser)


def add_runs_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--runs``, the folders in which records are searched."""
    text = "folders in which records are searched, with all their subfolders; default: runs/"
    parser.add_argument("--runs", type=Path, nargs="+", default=[Path("runs")], metavar="DIR", help=text)


def add_overrides_option(parser: argparse.ArgumentParser, purpose: str) -> None:
    """Add ``--set KEY=VALUE ...``.

    Args:
        parser: the parser of a verb.
        purpose: help text.
    """
    # "extend": --set a=1 b=2 and --set a=1 --set b=2 mean the same; the default action would drop the first --set
    parser.add_argument(
        "--set", dest="overrides", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=purpose
    )


def add_hash_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--hash-all``."""
    text = "hash every byte of the data; above 20 GB the default is the sizes of all files and the bytes of 2,000"
    parser.add_argument("--hash-all", action="store_true", help=text)


def add_timing_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--no-timing``."""
    text = "count the backbone's operations but do not time it, as where other programs run; changes no id"
    parser.add_argument("--no-timing", action="store_true", help=text)


def add_layout_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how data of the user's own are laid out and labeled; see ``DataOptions``."""
    group = parser.add_argument_group("your own data (docs/guides/your-own-data.md)")
    text = "whether the folders at the top of the data are splits or classes, where their names leave that open"
    group.add_argument("--layout", choices=("splits", "classes"), help=text)
    text = "what names the class of images below a class's subfolder: the whole path, its own folder, or the top one"
    group.add_argument("--nested-classes", choices=("path", "leaf", "top"), help=text)
    text = "files and folders to leave out, relative to the data's folder; * and ? as in a shell"
    group.add_argument("--exclude", nargs="+", action="extend", default=[], metavar="PATH", help=text)
    text = "table of file, label and, if there is one, split: CSV, JSON or parquet"
    group.add_argument("--labels", metavar="FILE", help=text)
    text = "label values of masks that are not scored"
    group.add_argument(
        "--ignore", nargs="+", action="extend", type=parse_label_value, default=[], metavar="VALUE", help=text
    )
    text = "label values of masks and the classes that they mean, e.g. 255=1"
    group.add_argument("--map", nargs="+", action="extend", default=[], metavar="VALUE=CLASS", help=text)
    group.add_argument("--colours", metavar="FILE", help="table of the colours of masks and their classes")
    group.add_argument("--target", metavar="ID", help="which of several annotated targets to track")


def collect_data_options(options: argparse.Namespace) -> DataOptions:
    """Return the options of ``add_layout_options``.

    Raises:
        ConfigError: a value is not possible.
    """
    # imported here: bench --help must import nothing heavy
    from engine.data.data_options import DataOptions, make_data_options

    return make_data_options({name: getattr(options, name) for name in DataOptions.model_fields})


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which data and weights are accepted."""
    add_data_root_option(parser)
    # all three need the user's consent, because the result is then not comparable with published numbers
    parser.add_argument("--subset", action="store_true", help="accept data that are not the complete official set")
    text = "accept a checkpoint that fills only part of the backbone; the rest keeps random weights"
    parser.add_argument("--allow-partial", action="store_true", help=text)
    text = "accept test items whose content is also in the training data; the record keeps it"
    parser.add_argument("--allow-duplicates", action="store_true", help=text)
    add_hash_option(parser)
    add_layout_options(parser)


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every verb that trains: seeds, tier, data, and what to do with partial data or old records."""
    text = "seeds of the runs; one record per seed; default: 0"
    parser.add_argument("--seeds", type=parse_seed, nargs="+", default=[0], metavar="N", help=text)
    parser.add_argument(
        "--tier",
        choices=("smoke", "short", "full"),
        default="full",
        help="length of the schedule: smoke (a few steps, to test that it works), short (a shortened schedule, for a "
        "first impression), full (the complete schedule of the protocol; default); each tier has its own leaderboards",
    )
    add_data_options(parser)
    add_timing_option(parser)
    text = "run again although a record exists, and read no cache; the old record is kept"
    parser.add_argument("--fresh", action="store_true", help=text)
    add_launcher_option(parser)
    add_output_options(parser)


def add_dry_run_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--dry-run``."""
    text = "print id, board, data, state and every setting of the run with its source, and train nothing"
    parser.add_argument("--dry-run", action="store_true", help=text)


def add_launcher_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--launcher``, for verbs whose work several processes share."""
    parser.add_argument(
        "--launcher",
        choices=LAUNCHERS,
        help="what started the processes that share a run: torchrun, slurm (srun), or none, whatever variables are "
        "set; default: torchrun where its variables are set",
    )


def add_common_switches(parser: argparse.ArgumentParser) -> None:
    """Add the options that every verb has."""
    text = "never use the network; what is not on this machine is named at once (same as BENCH_OFFLINE=1)"
    parser.add_argument("--offline", action="store_true", help=text)
    parser.add_argument("--json", action="store_true", help="machine-readable output on stdout")
    parser.add_argument("--debug", action="store_true", help="show the full trace of an error")
