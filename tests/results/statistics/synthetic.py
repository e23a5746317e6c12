"""Many made-up records: backbones x tasks x seeds, with per-item files where asked."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.results.make import FIXTURE

MACHINE = {"chip": "made-up CPU", "threads": 2, "runtime": "torch 2", "precision": "fp32"}


def iter_record_contents(
    backbones: int, tasks: int, records: int, seed: int = 0, items: int = 1000
) -> Iterator[dict[str, Any]]:
    """The content of ``records`` records, spread evenly over backbones and tasks; every sixth backbone is random."""
    base, rng = json.loads(FIXTURE.read_text()), random.Random(seed)
    base["schema_version"] = 3
    strength = [rng.uniform(40, 90) for _ in range(backbones)]
    sizes = [round(10 ** rng.uniform(5, 8)) for _ in range(backbones)]
    for number in range(records):
        b, t = number % backbones, number // backbones % tasks
        n, value = items, min(99.0, max(1.0, strength[b] + rng.gauss(0, 4) - t))
        right = round(value / 100 * n)
        interval = {
            "low": value - 2.5,
            "high": value + 2.5,
            "level": 0.95,
            "method": "wilson",
            "resampling_unit": "images",
        }
        top1 = {"value": 100 * right / n, "unit": "%", "higher_is_better": True, "n": n, "interval": interval}
        name = f"backbone_{b:02d}"
        milliseconds = [round(sizes[b] / 1e6 * rng.uniform(0.9, 1.2), 3) for _ in range(10)]
        yield base | {
            "run_id": f"{number:016x}",
            "comparability": f"{t:016x}",
            "task": f"task_{t:02d}",
            "seed": number // (backbones * tasks),
            "done": n,
            "expected": n,
            "backbone": base["backbone"]
            | {
                "name": name,
                "card": base["backbone"]["card"] | {"name": name},
                "init": "random" if b % 6 == 0 else "card",
            },
            "result": base["result"]
            | {
                "metrics": {"top1": top1, "mean_per_class": top1 | {"interval": None}},
                "items": base["result"]["items"] | {"rows": n},
            },
            "cost": base["cost"]
            | {
                "efficiency": {
                    "img_size": [224, 224],
                    "parameters": sizes[b],
                    "macs": sizes[b] * 200,
                    "macs_without_attention": sizes[b] * 180,
                    "activations": sizes[b],
                    "latency": {"batch": 1, "raw_ms": milliseconds},
                    "throughput": {"batch": 16, "raw_ms": [16 * each for each in milliseconds]},
                    **MACHINE,
                }
            },
        }


def write_synthetic_runs(root: Path, backbones: int, tasks: int, records: int, items: int = 0) -> None:
    """Write the records as a store; with ``items``, each with a per-item file of so many rows that bears it out."""
    rng = random.Random(1)
    for content in iter_record_contents(backbones, tasks, records, items=items or 1000):
        folder = root / content["task"] / f"{content['backbone']['name']}-{content['run_id']}"
        folder.mkdir(parents=True)
        if items:
            right = round(content["result"]["metrics"]["top1"]["value"] * items / 100)
            places = [0] * right + [1] * (items - right)
            rng.shuffle(places)
            lines = [f"{number},0,{place},0.5,{place}" for number, place in enumerate(places)]
            text = "\n".join(["item,label,prediction,confidence,place", *lines, ""])
            (folder / "items.csv").write_text(text)
            content["result"]["items"]["sha256"] = hashlib.sha256(text.encode()).hexdigest()
        (folder / "record.json").write_text(json.dumps(content, indent=2))
