"""``bench profile NAME...``: measure the cost of backbones, or of complete trackers and detectors with ``--task``."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path
from typing import Any

from benchmarks.cli.arguments.number_types import parse_batch_size, parse_side
from benchmarks.cli.common_options import add_device_option
from benchmarks.cli.output import align_columns, write_json, write_stdout
from benchmarks.save_timing import save_profile_timing
from engine.evaluation.model_source import RUNTIMES
from foundation.display_text import format_one_line
from foundation.errors import UserError
from foundation.plural import format_count


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.add_argument("names", metavar="NAME", nargs="+", help="registry name or timm/<name>")
    # No argparse defaults here: _reject_unused_options must see which options the user gave
    text = "side of the input in pixels; default: the card's"
    parser.add_argument("--img-size", type=parse_side, metavar="PIXELS", help=text)
    text = "images per batch for the throughput; default: 16"
    parser.add_argument("--batch", type=parse_batch_size, metavar="N", help=text)
    add_device_option(parser)
    text = "number type of weights and activations; default: fp32"
    parser.add_argument("--dtype", choices=("fp32", "bf16", "fp16"), help=text)
    parser.add_argument(
        "--save", nargs="?", type=Path, const=Path("runs"), metavar="DIR",
        help="also keep the timings in this folder of runs (runs/ if none is given), where leaderboards take them up",
    )  # fmt: skip
    text = "profile the complete tracker or detector instead of the backbone"
    parser.add_argument("--task", choices=("tracking", "detection"), help=text)
    parser.add_argument("--protocol", help="with --task: its protocol; default: ostrack256, and vitdet for detection")
    parser.add_argument(
        "--runtime", choices=RUNTIMES,
        help="with --task tracking: runtime of the tracker (precision: --set runtime_precision=f32, bf16 or int8); "
        "default: torch",
    )  # fmt: skip
    parser.add_argument(
        "--set", dest="overrides", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
        help="with --task: change the protocol's configuration, e.g. asymmetric_attention=true head_channels=64",
    )  # fmt: skip


def main(options: Namespace) -> int:
    """Profile each backbone in turn and write one row per backbone; all names are checked before the first timing."""
    # imported here: --device must be known before torch is imported
    from backbones.registry import get_card
    from engine.device import resolve_device

    _reject_unused_options(options)
    device = resolve_device(options.device)
    # a profile takes up to minutes, so a misspelled last name must not be found only at the end
    for name in options.names:
        get_card(name)
    measure, format_table = {
        None: (_profile_backbones, format_backbone_table),
        "tracking": (_profile_trackers, format_tracker_table),
        "detection": (_profile_detectors, format_detector_table),
    }[options.task]
    profiles = measure(options, device)
    if options.json:
        write_json(profiles)
    else:
        write_stdout(format_table(profiles))
    # after the table, which took minutes and would be lost with a folder that cannot be written
    saved = [] if options.save is None else [save_profile_timing(options.save, profile) for profile in profiles]
    if saved and not options.json:
        write_stdout("\n".join(format_one_line(f"saved: {path}") for path in saved))
    return 0


def _reject_unused_options(options: Namespace) -> None:
    """Refuse options that have no effect on what is profiled.

    Raises:
        UserError: an option has no effect; ignoring it would give a number that the user did not ask for.
    """
    # False, 0 and empty lists do not occur as values that a user can give here, so truth means "was given"
    if options.task is None:
        idle = [word for word in ("protocol", "runtime", "overrides") if getattr(options, word)]
        hint = "belongs to the protocol of a task; add --task tracking or --task detection"
    elif options.task == "detection":
        idle = [word for word in ("img_size", "batch", "dtype", "save", "runtime") if getattr(options, word)]
        hint = (
            "has no meaning for --task detection: its protocol sets the size (--set size=512), one image is timed in "
        )
        hint += "torch, and leaderboards have the timings of backbones"
    else:
        idle = [word for word in ("img_size", "batch", "dtype", "save") if getattr(options, word)]
        hint = "has no meaning for --task tracking: its protocol sets the crops, a tracker sees one frame at a time, "
        hint += "and leaderboards have the timings of backbones"
    if idle:
        # the option of "overrides" is --set
        raise UserError(f"--{idle[0].replace('overrides', 'set').replace('_', '-')} {hint}")


def _profile_trackers(options: Namespace, device: str) -> list[dict[str, Any]]:
    from tracking.profile import profile_tracker
    from tracking.protocols import load_protocol_recipe

    protocol = options.protocol or "ostrack256"
    # last, so that --runtime wins over --set runtime=...
    runtime = [f"runtime={options.runtime}"] if options.runtime else []
    recipe = load_protocol_recipe(protocol, [*options.overrides, *runtime])
    return [
        {"protocol": protocol, **profile_tracker(name, recipe, device, overrides=options.overrides)}
        for name in options.names
    ]


def _profile_detectors(options: Namespace, device: str) -> list[dict[str, Any]]:
    from detection.profile import load_profiled_recipe, profile_detector

    protocol = options.protocol or "vitdet"
    recipe = load_profiled_recipe(protocol, options.overrides)
    return [{"protocol": protocol, **profile_detector(name, recipe, device)} for name in options.names]


def _profile_backbones(options: Namespace, device: str) -> list[dict[str, Any]]:
    from backbones.cost.profile import profile_backbone

    batch, dtype = options.batch or 16, options.dtype or "fp32"
    return [
        profile_backbone(name, img_size=options.img_size, batch_size=batch, device=device, dtype=dtype)
        for name in options.names
    ]


def format_detector_table(profiles: list[dict[str, Any]]) -> str:
    """Format the profiles of detectors as an aligned table, followed by an explanation of the numbers."""
    head = [
        "backbone", "protocol", "pixels", "backbone: params M", "GMACs", "ms", "whole: params M", "GMACs", "ms", "p90",
        "end to end ms", "p90",
    ]  # fmt: skip
    rows = []
    for profile in profiles:
        row = [profile["name"], profile["protocol"], str(profile["img_size"])]
        # the whole model is timed twice: all its parts with as many regions as they may have, and a photograph
        for part, timed in (("backbone", ["backbone"]), ("whole_model", ["network", "end_to_end"])):
            counts = profile["counts"][part]
            row += [f"{counts['parameters'] / 1e6:.3f}", f"{counts['macs'] / 1e9:.4g}"]
            for name in timed:
                row.append(f"{profile[name]['median']:.2f}")
                row += [f"{profile[name]['p90']:.2f}"] if name != "backbone" else []
        rows.append(row)
    where = profiles[0]["where"]
    below = [
        f"{where['device']} ({where['chip']}), {format_count(where['threads'], 'thread')}, {where['runtime']}, "
        f"{where['precision']}, torch {where['torch']}; batch 1, random weights, 80 classes with masks.",
        "whole: backbone, pyramid, proposal network and heads, with as many regions as inference keeps, whatever an "
        "image holds; MACs are counted so, too.",
        f"end to end: from the pixels of a photograph of {where['image']} px to boxes and masks; how many boxes there "
        "are depends on the weights.",
        f"ms: median, after {where['warm_up']} calls of warm-up; raw timings: --json.",
    ]
    return align_columns([head, *rows]) + "\n\n" + "\n".join(below)


def format_tracker_table(profiles: list[dict[str, Any]]) -> str:
    """Format the profiles of trackers as an aligned table, followed by an explanation of the numbers."""
    head = [
        "backbone", "protocol", "template / search", "params M", "GMACs", "without attention",
        "network ms", "p90", "frames/s", "end to end ms", "p90", "frames/s",
    ]  # fmt: skip
    # machine, runtime and method are the same for all rows of one command
    where = profiles[0]["where"]
    below = [
        f"{where['device']} ({where['chip']}), {format_count(where['threads'], 'thread')}, {where['runtime']}, "
        f"{where['precision']}, torch {where['torch']}; batch 1, random weights, head included.",
        "MACs: multiply-accumulates of convolutions and linear layers per frame, with and without attention products; "
        "a template that attends only to itself is computed once per video and not counted.",
        "end to end: waiting for the decoder, crop, network and box, measured on "
        f"{profiles[0]['end_to_end']['video']}.",
        f"ms: median, after {where['warm_up']['network']} calls and {where['warm_up']['end_to_end']} frames of "
        "warm-up; raw timings: --json.",
    ]
    return align_columns([head, *map(_format_tracker_row, profiles)]) + "\n\n" + "\n".join(below)


def _format_tracker_row(profile: dict[str, Any]) -> list[str]:
    counts, crops = profile["counts"], profile["crops"]
    row = [
        profile["name"],
        profile["protocol"],
        f"{crops['template_size']} / {crops['search_size']}",
        f"{counts['parameters'] / 1e6:.3f}",
        f"{counts['macs'] / 1e9:.4g}",
        f"{counts['macs_without_attention'] / 1e9:.4g}",
    ]
    # in the order of the head: the three columns of the network, then those of the complete tracker
    for part in ("network", "end_to_end"):
        timed = profile[part]
        row += [f"{timed['median']:.2f}", f"{timed['p90']:.2f}", f"{timed['frames_per_second']:.1f}"]
    return row


def format_backbone_table(profiles: list[dict[str, Any]]) -> str:
    """Format the profiles of backbones as an aligned table, followed by an explanation of the numbers."""
    batch = profiles[0]["throughput"]["batch"]
    head = [
        "backbone", "pixels", "params M", "GMACs", "without attention", "activations M",
        "MiB batch 1", f"MiB batch {batch}", "ms batch 1", "p90", f"images/s batch {batch}",
    ]  # fmt: skip
    where = profiles[0]["where"]
    below = [
        f"{where['device']} ({where['chip']}), {format_count(where['threads'], 'thread')}, {where['dtype']}, "
        f"torch {where['torch']}; random weights, classifier included.",
        "MACs: multiply-accumulates per image, with and without attention products; activations: outputs of "
        "convolutions and matrix products.",
        f"MiB: {profiles[0]['memory']['method']}.",
        f"ms: median, after {where['repeats']['warmup']} forward passes of warm-up; raw timings: --json.",
    ]
    disturbed = [each["name"] for each in profiles if each["latency"]["is_busy"] or each["throughput"]["is_busy"]]
    if disturbed:
        below.append(
            f"Busy machine: something else slowed down {', '.join(disturbed)}. Repeat the command when the machine is "
            "quiet; leaderboards mark such times and compare none of them."
        )
    return align_columns([head, *map(_format_backbone_row, profiles)]) + "\n\n" + "\n".join(below)


def _format_backbone_row(profile: dict[str, Any]) -> list[str]:
    counts, memory, latency = profile["counts"], profile["memory"], profile["latency"]
    return [
        profile["name"],
        "x".join(map(str, profile["img_size"])),
        f"{counts['parameters'] / 1e6:.3f}",
        f"{counts['macs'] / 1e9:.4g}",
        f"{counts['macs_without_attention'] / 1e9:.4g}",
        f"{counts['activations'] / 1e6:.3g}",
        f"{memory['batch_1'] / 2**20:.1f}",  # bytes to MiB
        f"{memory['batch_n'] / 2**20:.1f}",
        f"{latency['median']:.2f}",
        f"{latency['p90']:.2f}",
        f"{profile['throughput']['images_per_second']:.1f}",
    ]
