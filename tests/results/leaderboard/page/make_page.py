"""A store with everything that the page shows: names that are no markup, seeds, pictures, curves, published numbers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from results.records.picture_manifest import PICTURES_DIR, PictureEntry, write_picture_manifest
from tests.results.make import make_cost, write_run
from tests.results.published.test_match import SETTINGS

NASTY = "<script>document.title='taken'</script>"
ODD = "=a,b&c#d%41~e"
"""A name that an address has to encode, and that begins like a formula."""


def make_png(size: tuple[int, int] = (8, 8), color: tuple[int, int, int] = (9, 9, 9)) -> bytes:
    """A real PNG of one color."""
    out = io.BytesIO()
    Image.new("RGB", size, color).save(out, "PNG")
    return out.getvalue()


def log_scalars(folder: Path, values: dict[str, list[tuple[int, float]]], name: str = "1") -> Path:
    """Write a TensorBoard file of a run as mmengine does."""
    home = folder / "logs" / name / "vis_data"
    writer = EventFileWriter(str(home))
    for tag, points in values.items():
        for step, value in points:
            writer.add_event(Event(step=step, summary=Summary(value=[Summary.Value(tag=tag, simple_value=value)])))
    writer.close()
    (path,) = home.iterdir()
    return path


def add_pictures(folder: Path, items: int) -> None:
    """Give a run a picture of one item and a sheet of all items, ten tiles in a row."""
    home = folder / PICTURES_DIR
    home.mkdir()
    (home / "overlay.png").write_bytes(make_png((60, 20), (200, 60, 60)))
    (home / "sheet.png").write_bytes(make_png((80, 8 * ((items + 9) // 10)), (60, 200, 60)))
    sheet = {"items": tuple(map(str, range(items))), "tile_size": (8, 8)}
    entries = [
        PictureEntry(
            file="overlay.png", kind="overlay", title="worst image: 3", caption="Truth and <b>errors</b>.", item="3"
        ),
        PictureEntry(file="sheet.png", kind="item_sheet", title="test items", **sheet),
    ]
    write_picture_manifest(folder, entries)


def write_store(root: Path) -> None:
    """Write the runs of the browser's page.

    digits has single runs (big, small, none, and two foreign names, of which ODD was timed on a busy machine), pets two
    seeds per row, lasot is of another tier, imagenet has a published number beside its row.
    """
    rows = ((NASTY, 80, 300), ("small", 120, 100_000), ("big", 160, 2_000_000), ("none", 100, 0), (ODD, 60, 5_000_000))
    for number, (name, right, parameters) in enumerate(rows):
        cost = make_cost(parameters, parameters / 100_000) if parameters else {"phases": {}}
        if name == ODD:
            cost["efficiency"]["latency"]["raw_ms"] = [50.0, 500.0, 500.0]
        more: dict[str, Any] = {"backbone": {"init": "card", "parameters": None}, "cost": cost}
        write_run(root / f"d{number}", name, [i < right for i in range(200)], f"{number}", **more)
    add_pictures(root / "d2", 200)
    log_scalars(root / "d2", {"loss": [(10, 2.0), (20, 1.0)], "val/top1": [(0, 50.0), (0, 60.0), (0, 70.0)]})
    for seed in (0, 1):
        for name, right, parameters in (("big", 190, 2_000_000), ("small", 100, 100_000)):
            correct = [(i + seed) % 200 < right for i in range(200)]
            more = {"backbone": {"init": "card"}, "cost": make_cost(parameters, parameters / 100_000), "seed": seed}
            where = {"task": "pets", "comparability": "p"}
            write_run(root / f"p{name}{seed}", name, correct, f"p{name}{seed}", **where, **more)
    where = {"task": "lasot", "comparability": "o", "tier": "short"}
    write_run(root / "other", "small", [True, False], "9", backbone={"init": "card"}, **where)
    where = {"task": "imagenet", "protocol": "finetune_improved", "comparability": "i"}
    more = {"config": {"recipe": SETTINGS}, "cost": make_cost(5_700_000, 9.0), "backbone": {"init": "card"}}
    write_run(root / "mae", "mae_tiny", [i < 155 for i in range(200)], "m", **where, **more)
