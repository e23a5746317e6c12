"""``bench profile NAME...``."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from benchmarks.output import columns, write, write_json


def main(options: Namespace) -> int:
    """Profile each backbone in turn and write one row each; names are checked before the first is timed."""
    from backbones.profile import profile_backbone
    from backbones.registry import get_card
    from engine.device import resolve_device

    device = resolve_device(options.device)
    for name in options.names:
        get_card(name)
    profiles = [
        profile_backbone(name, img_size=options.img_size, batch=options.batch, device=device, dtype=options.dtype)
        for name in options.names
    ]
    if options.json:
        write_json(profiles)
    else:
        write(table(profiles))
    return 0


def table(profiles: list[dict[str, Any]]) -> str:
    """Profiles as an aligned table, and below it what the numbers are."""
    batch = profiles[0]["throughput"]["batch"]
    head = [
        "backbone", "pixels", "params M", "GMACs", "without attention", "activations M",
        "MiB batch 1", f"MiB batch {batch}", "ms batch 1", "p90", f"images/s batch {batch}",
    ]  # fmt: skip
    where = profiles[0]["where"]
    below = [
        f"{where['device']} ({where['chip']}), {_plural(where['threads'], 'thread')}, {where['dtype']}, "
        f"torch {where['torch']}; random weights, classifier included.",
        "MACs: multiply-accumulates per image, with attention products and without; activations: outputs of "
        "convolutions and matrix products.",
        f"MiB: {profiles[0]['memory']['method']}.",
        f"ms: median after {where['repeats']['warmup']} dropped passes; raw timings: --json.",
    ]
    return columns([head, *map(_row, profiles)]) + "\n\n" + "\n".join(below)


def _row(profile: dict[str, Any]) -> list[str]:
    counts, memory, latency = profile["counts"], profile["memory"], profile["latency"]
    return [
        profile["name"],
        "x".join(map(str, profile["img_size"])),
        f"{counts['parameters'] / 1e6:.3f}",
        f"{counts['macs'] / 1e9:.4g}",
        f"{counts['macs_without_attention'] / 1e9:.4g}",
        f"{counts['activations'] / 1e6:.3g}",
        f"{memory['batch_1'] / 2**20:.1f}",
        f"{memory['batch_n'] / 2**20:.1f}",
        f"{latency['median']:.2f}",
        f"{latency['p90']:.2f}",
        f"{profile['throughput']['images_per_second']:.1f}",
    ]


def _plural(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
