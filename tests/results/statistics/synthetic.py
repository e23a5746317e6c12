"""Many made-up records: backbones x tasks x seeds, with per-item files where asked."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from results.records.identity import build_run_identity
from results.records.record import SCHEMA_VERSION, Record, parse_record
from results.records.store import write_record
from tests.results.make import FIXTURE

MACHINE = {"chip": "made-up CPU", "threads": 2, "runtime": "torch 2", "precision": "fp32"}


def iter_record_contents(
    backbones: int, tasks: int, records: int, seed: int = 0, items: int = 1000
) -> Iterator[dict[str, Any]]:
    """The content of ``records`` records, spread evenly over backbones and tasks; every sixth backbone is random."""
    base, rng = parse_record(FIXTURE.read_text(), "fixture").model_dump(mode="json"), random.Random(seed)
    base |= {"schema_version": SCHEMA_VERSION, "reason": None}
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
        statistic = {"kind": "mean", "columns": ["label == prediction"]}
        top1 = {
            "value": 100 * right / n,
            "unit": "%",
            "higher_is_better": True,
            "n": n,
            "interval": interval,
            "statistic": statistic,
        }
        by_class = {"kind": "class_mean", "columns": ["label == prediction", "label"]}
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
                "metrics": {"top1": top1, "mean_per_class": top1 | {"interval": None, "statistic": by_class}},
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
    """Write the records as a store with its ledger; with ``items``, each with a per-item file that bears it out."""
    rng = random.Random(1)
    with mock.patch("os.fsync"):  # a made-up store need not survive a power cut
        for content in iter_record_contents(backbones, tasks, records, items=items or 1000):
            if items:
                right = round(content["result"]["metrics"]["top1"]["value"] * items / 100)
                places = [0] * right + [1] * (items - right)
                rng.shuffle(places)
                lines = [f"{number},0,{place},0.5,{place}" for number, place in enumerate(places)]
                text = "\n".join(["item,label,prediction,confidence,place", *lines, ""])
                content["result"]["items"]["sha256"] = hashlib.sha256(text.encode()).hexdigest()
            record = Record.model_validate(content)
            identity = build_run_identity(record)
            record = record.model_copy(update={"run_id": identity.run_id, "comparability": identity.comparability})
            name = f"{record.backbone.name}-{record.protocol}-{record.tier}-seed{record.seed}-{record.run_id}"
            folder = root / record.task / name
            folder.mkdir(parents=True)
            if items:
                (folder / "items.csv").write_text(text)
            write_record(folder, record)
