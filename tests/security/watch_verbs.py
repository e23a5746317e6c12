"""Runs every verb of ``bench`` in one process that ``audit/sitecustomize.py`` watches, and its children too.

``python -m tests.security.watch_verbs`` works in the current folder. Before each line it writes the line itself to the
log, so that the events behind it are those of the line.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

SMOKE = "--tier smoke --device cpu --out runs"
# (verb, command line), in an order in which each has what it needs; a word in braces is a folder with runs
LINES = (
    ("doctor", "doctor"),
    ("list", "list backbones"),
    ("show", "show task digits"),
    ("get", "get --list --tasks digits --backbones vit_nano"),
    ("profile", "profile vit_nano --device cpu"),
    ("check", "check data digits"),
    ("check", "check backbone vit_nano --img-size 32"),
    ("run", f"run digits --backbone vit_nano {SMOKE}"),
    ("run", f"run digits --backbone vit_nano --protocol knn {SMOKE}"),
    ("run", f"run digits --backbone vit_pico --protocol knn {SMOKE}"),
    ("run", f"run mini_lasot --backbone vit_pico --protocol fast64 --set track_processes=1 {SMOKE}"),
    ("pretrain", f"pretrain mae --backbone vit_nano --data digits {SMOKE}"),
    ("demo", "demo --device cpu --out runs"),
    ("plan", "plan --tasks digits --backbones vit_nano --protocols finetune --tier smoke --out runs"),
    ("sweep", f"sweep --tasks digits --backbones vit_nano --protocols finetune {SMOKE}"),
    ("evaluate", "evaluate digits --run {runs/digits} --device cpu --out evaluations"),
    ("analyze", "analyze spectrum vit_nano --device cpu --out runs"),
    ("table", "table --runs runs --html page"),
    ("choose", "choose --task digits --under 1GB --runs evaluations"),
    ("items", "items --task digits --tier smoke --runs runs --out items.csv"),
    ("compare", "compare vit_nano vit_pico --runs runs"),
    ("verify", "verify runs"),
    ("pack", "pack runs -o packed.tar.zst"),
    ("merge", "merge packed.tar.zst --out merged"),
    ("submit", "submit runs"),
    ("score", "score got10k_val --results boxes --data-root data --partial"),
    ("export", "export {runs/digits} --format onnx"),
    ("predict", "predict photos --run {runs/digits} --device cpu --out predictions"),
    ("track", "track frames --init 4,4,12,12 --run {runs/mini_lasot} --device cpu --frames 3 --out followed"),
    ("add", "add backbone my_net --from {runs/pretrain}"),
    ("cache", "cache"),
)

HUB_LINE = "get weights timm/vit_tiny_patch16_224"
"""What asks the hub for a file, and may."""


def main() -> None:
    """Run all lines; their exit codes go into the log."""
    log = Path(os.environ["BENCH_AUDIT_LOG"])

    def write(*words: Any) -> None:
        with log.open("a") as file:
            file.write(json.dumps(words) + "\n")

    write("line", "import", "")
    # first, as the command does: what it sets, the libraries read when they are imported
    run_line = importlib.import_module("litevit_bench.cli").main
    import benchmarks.demo

    _make_pictures()
    _shorten_demo(benchmarks.demo)
    for verb, line in (*LINES, ("hub", HUB_LINE), ("hub", f"{HUB_LINE} --offline")):
        write("line", verb, line)
        began = time.process_time()
        words = [str(_find_run(word[1:-1])) if word.startswith("{") else word for word in line.split()]
        code = run_line(words)
        sys.stderr.write(f"exit code {code} of: bench {line}   [{time.process_time() - began:.1f} s]\n")
        write("code", code)


def _find_run(place: str) -> Path:
    """The first run in a folder of a store."""
    return next(path.parent for path in sorted(Path(place).glob("*/record.json")))


def _make_pictures() -> None:
    from PIL import Image

    from tests.tracking.data.readers.make_sets import make_got10k_val

    make_got10k_val(Path("data"), (5, 5))
    for number in (1, 2):
        place = Path("boxes", f"GOT-10k_Val_{number:06d}")
        place.mkdir(parents=True)
        (place / f"{place.name}_001.txt").write_text("1,1,9,9\n" * 5)
    for folder in ("photos", "frames"):
        Path(folder).mkdir()
    for number in range(1, 5):
        Image.new("RGB", (64, 48), (40 * number, 9, 9)).save(f"photos/{number}.png")
        Image.new("RGB", (64, 48), (40 * number, 9, 9)).save(f"frames/{number:08d}.jpg")


def _shorten_demo(demo: Any) -> None:
    """Let the runs before answer for the demo's: what it asks of the system by itself is left."""
    run_cell = demo.run_cell
    demo.DEMO_CELLS = (("digits", "vit_nano", "finetune", 0),)
    demo.run_cell = lambda request: run_cell(replace(request, tier="smoke", checkpoint=None, data_scale=1.0))


if __name__ == "__main__":
    main()
