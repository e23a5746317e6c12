"""The options of every verb of ``bench``. Nothing heavy is imported here."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from benchmarks.analyze import arguments as analyze
from tracking.inference.options import RUNTIME_PRECISIONS, RUNTIMES

RENAMED_OPTIONS = {"--low": "--lost-threshold", "--health": "--knn-data"}
"""Options of earlier versions, and what they are called now."""


def _run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", metavar="TASK", help="see: bench list tasks")
    parser.add_argument("--backbone", required=True, help="registry name or timm/<name>")
    parser.add_argument("--checkpoint", help="weight file to start from, or the word 'random'")
    parser.add_argument("--protocol", help="default: the task's first (bench list protocols)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="N", help="one record each")
    parser.add_argument("--tier", choices=("smoke", "short", "full"), default="full")
    parser.add_argument(
        "--set", dest="overrides", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
        help="change the protocol's configuration, e.g. optimizer.lr=1e-3",
    )  # fmt: skip
    parser.add_argument(
        "--data-scale", type=float, nargs="+", default=[1.0], metavar="SHARE",
        help="share of the training items, e.g. 0.01 0.1 1.0; one record each",
    )  # fmt: skip
    parser.add_argument(
        "--shots", type=_parse_positive_int, nargs="+", default=[], metavar="N",
        help="protocol lowshot: training images a class, e.g. 1 2 4 8 16; one record each (as --set shots=N)",
    )  # fmt: skip
    parser.add_argument(
        "--percent", type=float, nargs="+", default=[], metavar="P",
        help="protocol lowshot: share of the training images, e.g. 1 10; one record each (as --set percent=P)",
    )  # fmt: skip
    parser.add_argument(
        "--runtime", choices=RUNTIMES,
        help="tracking tasks: what tracks the test sequences (as --set runtime=...; its precision: "
        "--set runtime_precision=f32, bf16 or int8)",
    )  # fmt: skip
    _add_data_root_option(parser)
    parser.add_argument("--subset", action="store_true", help="run on data that are not the official set whole")
    parser.add_argument("--allow-partial", action="store_true", help="accept a checkpoint that fills only part")
    parser.add_argument("--fresh", action="store_true", help="run anew although a record exists")
    _add_output_options(parser)


def _pretrain_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("method", metavar="METHOD", help="see: bench list pretraining")
    parser.add_argument("--backbone", required=True, help="registry name or timm/<name>; starts random")
    parser.add_argument(
        "--data", required=True, metavar="NAME", help="digits, photos, cifar10, cifar100, imagenet, folder"
    )
    parser.add_argument("--teacher", metavar="NAME", help="for methods that distil: registry name or timm/<name>")
    parser.add_argument("--teacher-checkpoint", metavar="PATH", help="its weights, or a pre-training run")
    parser.add_argument("--checkpoint", default="random", help="weights to go on from; default: random")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="N", help="one run each")
    parser.add_argument("--tier", choices=("smoke", "short", "full"), default="full")
    parser.add_argument(
        "--set", dest="overrides", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
        help="change the method's configuration, e.g. mask_ratio=0.6",
    )  # fmt: skip
    parser.add_argument(
        "--knn-data", metavar="NAME", help="labelled set for the k-NN check; default: the data's own labels"
    )
    parser.add_argument("--skip-bad", action="store_true", help="leave out and count images that cannot be decoded")
    _add_data_root_option(parser)
    parser.add_argument("--subset", action="store_true", help="run on data that are not the official set whole")
    parser.add_argument("--allow-partial", action="store_true", help="accept a checkpoint that fills only part")
    parser.add_argument("--fresh", action="store_true", help="run anew although a record exists")
    _add_output_options(parser)


def _add_command_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("noun", choices=("backbone",))
    parser.add_argument("name", metavar="NAME", help="what to call it: small letters, digits, _")
    parser.add_argument(
        "--from", dest="run", type=Path, required=True, metavar="RUN", help="folder of a pre-training run"
    )
    parser.add_argument("--replace", action="store_true", help="over a card of that name that was added before")


def _list_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("noun", choices=("tasks", "backbones", "protocols", "pretraining", "runs"))
    _add_runs_option(parser)


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("noun", choices=("task", "backbone", "run"))
    parser.add_argument("name", metavar="NAME", help="a name; for a run its folder or the start of its id")
    _add_runs_option(parser)


def _table_arguments(parser: argparse.ArgumentParser) -> None:
    _add_runs_option(parser)
    parser.add_argument("--task", nargs="+", default=[], metavar="NAME", help="only boards of these tasks")
    parser.add_argument("--tier", nargs="+", choices=("smoke", "short", "full"), default=[], help="only these tiers")
    parser.add_argument(
        "--backbone", nargs="+", default=[], metavar="NAME", help="only these rows; ranks stay those among all"
    )
    parser.add_argument(
        "--pareto", nargs="?", choices=("parameters", "macs", "latency"), const="parameters",
        help="only rows that no other beats in score and in this cost at once (default: parameters)",
    )  # fmt: skip
    parser.add_argument(
        "--sort", default="rank",
        choices=("rank", "score", "backbone", "parameters", "macs", "latency", "throughput", "date"),
    )  # fmt: skip
    parser.add_argument("--format", choices=("markdown", "csv", "latex", "json"), default="markdown")
    parser.add_argument("--html", type=Path, metavar="DIR", help="write DIR/index.html, a page that needs nothing else")


def _compare_arguments(parser: argparse.ArgumentParser) -> None:
    for name, place in (("first", "A"), ("second", "B")):
        parser.add_argument(
            name, metavar=place, help="a run's folder, the start of a run id, a backbone, or BACKBONE@START"
        )
    parser.add_argument("--task", help="only boards of this task")
    parser.add_argument("--all", action="store_true", help="name every item on which the two part, not ten")
    _add_runs_option(parser)


def _verify_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("place", type=Path, metavar="RECORD|FOLDER", help="a record, a run's folder, or one with runs")
    parser.add_argument("--rerun-eval", action="store_true", help="evaluate again from the kept checkpoints")
    _add_data_root_option(parser)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="for --rerun-eval")


def _score_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("set", metavar="SET", help="lasot, got10k_val, otb100 ..., ade20k (docs/scoring.md)")
    parser.add_argument(
        "--results",
        type=Path,
        nargs="+",
        required=True,
        metavar="DIR",
        help="one folder a tracker, one file a sequence; ade20k: a folder of label PNGs",
    )
    parser.add_argument("--rules", choices=("official", "got10k"), default=None, help="default: official")
    parser.add_argument("--partial", action="store_true", help="score what is there; the number is marked partial")
    parser.add_argument("--int", action="store_true", help="truncate predictions to integers first")
    parser.add_argument("--by", choices=("sequence", "category", "attribute"), help="print a break-down too")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write plots there (PNG and PDF)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="keep the JSON; for a server's set: the archive")
    _add_data_root_option(parser)


def _track_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="VIDEO|FOLDER|CAMERA", help="a camera by its number: 0, 1 ...")
    parser.add_argument(
        "--init", type=_parse_box, metavar="x,y,w,h",
        help="the target's box in the first frame, pixels; default: of the folder's groundtruth.txt",
    )  # fmt: skip
    parser.add_argument("--run", type=Path, metavar="RUN", help="folder of a finished tracking run")
    parser.add_argument("--runtime", choices=RUNTIMES, help="of --run; default: what it was tracked with")
    parser.add_argument("--precision", choices=RUNTIME_PRECISIONS, help="of the runtime; default: f32")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="or: a checkpoint of OSTrack's code")
    parser.add_argument("--backbone", help="the plain ViT of --checkpoint")
    parser.add_argument("--protocol", help="the crops of --checkpoint: ostrack256 (default), ostrack256_ce, ostrack384")
    parser.add_argument(
        "--start", type=_parse_nonnegative_int, default=0, metavar="N", help="number of the first frame, from 0"
    )
    parser.add_argument("--frames", type=_parse_positive_int, metavar="N", help="stop after N frames")
    parser.add_argument(
        "--lost-threshold", type=float, metavar="C",
        help="confidence, 0 to 1, below which the target may be lost (docs/track.md)",
    )  # fmt: skip
    parser.add_argument("--no-video", dest="video", action="store_false", help="make no annotated video")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: runs/track/NAME, numbered if it is there")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")


def _parse_box(text: str) -> tuple[float, ...]:
    try:
        box = tuple(float(word) for word in text.split(","))
    except ValueError:
        box = ()
    if len(box) != 4:
        raise argparse.ArgumentTypeError(f"must be four numbers x,y,w,h, not {text!r}")
    return box


def _parse_nonnegative_int(text: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, 0 or above, not {text!r}")
    return int(text)


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a finished tracking run: its folder or the start of its id")
    parser.add_argument("--format", choices=("onnx", "openvino"), required=True)
    parser.add_argument("--precision", choices=RUNTIME_PRECISIONS, default="f32", help="default: f32")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: the run's own folder export")
    _add_runs_option(parser)


def _profile_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", metavar="NAME", nargs="+", help="registry name or timm/<name>")
    parser.add_argument(
        "--img-size", type=_parse_positive_int, metavar="PIXELS", help="input side; default: the card's"
    )
    parser.add_argument("--batch", type=_parse_positive_int, metavar="N", help="for the throughput; default: 16")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--dtype", choices=("fp32", "bf16", "fp16"), help="default: fp32")
    parser.add_argument("--task", choices=("tracking",), help="profile the whole tracker around the backbone")
    parser.add_argument("--protocol", help="of the task; default: ostrack256")
    parser.add_argument(
        "--runtime", choices=RUNTIMES,
        help="of the task (its precision: --set runtime_precision=f32, bf16 or int8); default: torch",
    )  # fmt: skip
    parser.add_argument(
        "--set", dest="overrides", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
        help="change the protocol's configuration, e.g. asymmetric_attention=true head_channels=64",
    )  # fmt: skip


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("noun", choices=("backbone", "data"))
    parser.add_argument("name", metavar="NAME", help="a backbone (registry name or timm/<name>), or a task")
    parser.add_argument(
        "--img-size", type=_parse_positive_int, metavar="PIXELS", help="backbone: input side; default: the card's"
    )
    parser.add_argument("--compile", action="store_true", help="backbone: try torch.compile too (may take a minute)")
    parser.add_argument("--all", action="store_true", help="data: open every file, not a sample")
    _add_data_root_option(parser)


def _parse_positive_int(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, not {text!r}")
    return int(text)


def _demo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fresh", action="store_true", help="run anew although records exist")
    _add_output_options(parser, Path("runs") / "demo")


def _get_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("noun", choices=("weights", "data"))
    parser.add_argument("name", metavar="NAME", help="a backbone (bench list backbones) or a task (bench list tasks)")
    _add_data_root_option(parser)


def _cache_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--prune", type=_parse_days, nargs="?", const=30.0, default=None, metavar="DAYS",
        help="remove leftovers, damaged entries, and what was not used for DAYS days (default: 30; 0 removes all)",
    )  # fmt: skip


def _parse_days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not 0 <= days < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of days, 0 or above, not {text!r}")
    return days


def _doctor_arguments(parser: argparse.ArgumentParser) -> None:
    _add_data_root_option(parser)
    _add_output_options(parser)


def _add_data_root_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-root", type=Path, default=None, metavar="DIR", help="default: $BENCH_DATA, else data/")


def _add_output_options(parser: argparse.ArgumentParser, out: Path = Path("runs")) -> None:
    parser.add_argument("--out", type=Path, default=out, metavar="DIR", help=f"default: {out}/")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")


def _add_runs_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=Path, nargs="+", default=[Path("runs")], metavar="DIR", help="default: runs/")


ARGUMENT_BUILDERS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "run": _run_arguments,
    "pretrain": _pretrain_arguments,
    "add": _add_command_arguments,
    "list": _list_arguments,
    "show": _show_arguments,
    "table": _table_arguments,
    "compare": _compare_arguments,
    "verify": _verify_arguments,
    "score": _score_arguments,
    "track": _track_arguments,
    "export": _export_arguments,
    "profile": _profile_arguments,
    "analyze": analyze.add_analyze_arguments,
    "get": _get_arguments,
    "check": _check_arguments,
    "cache": _cache_arguments,
    "demo": _demo_arguments,
    "doctor": _doctor_arguments,
}
