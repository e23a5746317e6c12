"""``make perf``: speed as ratios within one run against the obvious alternative; prints a table, asserts nothing."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from benchmarks.cli.output import align_columns, write_stdout
from tests.perf import (
    analysis,
    deploy,
    features,
    finetune,
    plan,
    pretrain,
    probe,
    reading,
    slide,
    spread,
    startup,
    store,
    sweep,
    table,
    tracking,
)
from tests.perf.line import SpeedRatio


def time_process(*words: str, runs: int = 7) -> float:
    """Median wall time of a whole Python process, after one warm-up."""
    times = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def time_command_line() -> list[SpeedRatio]:
    """Listings against importing torch, which they do not."""
    torch = time_process("-c", "import torch", runs=3)
    return [
        SpeedRatio(f"bench {' '.join(words)} / import torch", time_process("-m", "litevit_bench", *words), torch, "s")
        for words in (("--help",), ("list", "tasks"), ("list", "backbones"))
    ]


def time_training() -> SpeedRatio:
    """A training epoch of the engine (validation, checkpoint, seeds included) against a bare PyTorch loop."""
    pairs = [(_time_engine_epoch(), _time_bare_epoch()) for _ in range(3)]
    ours, other = (statistics.median(times) for times in zip(*pairs, strict=True))
    return SpeedRatio("digits epoch, engine / bare loop", ours, other, "s")


EPOCHS = 4


def _time_engine_epoch() -> float:
    from benchmarks.resolve_cell import CellRequest
    from benchmarks.run_cell import run_cell

    with tempfile.TemporaryDirectory() as out:
        changes = (f"epochs={EPOCHS}", "schedule.warmup=1")
        cell = run_cell(CellRequest("digits", "vit_nano", overrides=changes, out=Path(out)))
    assert cell.record.cost is not None
    return cell.record.cost.phases["train_and_validate"] / EPOCHS


def _time_bare_epoch() -> float:
    import torch
    from torch.utils.data import DataLoader

    from backbones.create import create_backbone
    from engine.data import digits as digits_data

    card_mean = (0.5, 0.5, 0.5)
    items = digits_data.DigitsDataset(digits_data.load_digits_data(), "train", 32, card_mean, card_mean, max_shift=0.06)
    model = create_backbone("vit_nano", num_classes=10, global_pool="avg").model
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    loader: DataLoader[dict[str, torch.Tensor]] = DataLoader(items, batch_size=64, shuffle=True)  # type: ignore[arg-type]
    began = time.perf_counter()
    for _ in range(EPOCHS):
        for batch in loader:
            loss = torch.nn.functional.cross_entropy(model(batch["images"]), batch["labels"])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    return (time.perf_counter() - began) / EPOCHS


SUITES: dict[str, Callable[[], list[SpeedRatio]]] = {
    "command_line": time_command_line,
    "startup": startup.run_suite,
    "training": lambda: [time_training()],
    "finetune": finetune.run_suite,
    "pretrain": pretrain.run_suite,
    "reading": reading.run_suite,
    "probe": probe.run_suite,
    "features": features.run_suite,
    "slide": slide.run_suite,
    "tracking": tracking.run_suite,
    "spread": spread.run_suite,
    "deploy": deploy.run_suite,
    "table": table.run_suite,
    "store": store.run_suite,
    "plan": plan.run_suite,
    "analysis": analysis.run_suite,
    "sweep": sweep.run_suite,
}


def main(names: list[str]) -> int:
    """Run suites and print the table; each line also at once on stderr, since all of it takes minutes.

    A suite that fails is named at the end and does not take the others' lines with it.

    Args:
        names: the suites, all if there is none.

    Returns:
        1 if a suite failed or there is no such suite.
    """
    if unknown := [name for name in names if name not in SUITES]:
        sys.stderr.write(f"no suite {', '.join(unknown)}; there are {', '.join(SUITES)}\n")
        return 1
    lines: list[SpeedRatio] = []
    failed = []
    for name in names or SUITES:
        try:
            for line in SUITES[name]():
                sys.stderr.write("  ".join(line.to_cells()) + "\n")
                lines.append(line)
        except Exception:  # noqa: BLE001 - the others take minutes and are worth having
            traceback.print_exc()
            failed.append(name)
    write_stdout(align_columns([("what", "ours", "alternative", "ratio"), *(line.to_cells() for line in lines)]))
    if failed:
        sys.stderr.write(f"failed: {', '.join(failed)}\n")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
