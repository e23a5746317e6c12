from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backbones.registry import BACKBONES
from benchmarks.task_registry import TASKS
from engine.config import load_protocol
from foundation.errors import RecordError
from results.published.rows import PUBLISHED_DIR, PublishedResult, read_published
from tests.conftest import ROOT

ROWS = read_published()
HERE = """
[source]
title = "A paper"
kind = "abstract"
location = "its abstract"

[[rows]]
backbone = "x"
task = "lasot"
head = "h"
schedule = "s"
start = "w"
metric = "AUC"
value = 60.0
"""


def test_every_file_is_read_and_gives_rows() -> None:
    assert {row.source for row in ROWS} == {path.stem for path in PUBLISHED_DIR.glob("*.toml")}
    assert len(ROWS) > 80


@pytest.mark.parametrize(
    "row", ROWS, ids=lambda row: f"{row.source}-{row.task}-{row.backbone}-{row.metric}-{row.value}"
)
def test_every_row_has_its_source_and_a_sane_value(row: PublishedResult) -> None:
    assert len(row.source_info.location) > 8
    assert row.source_info.title
    assert 10 < row.value < 99
    assert "UNV" not in f"{row.remark}{row.citation}"
    assert "[mem" not in f"{row.remark}{row.citation}"
    assert row.external != (row.backbone in BACKBONES.list_names()), "a card of ours, or marked external"
    if row.protocol is not None:
        task = TASKS.get(row.task)
        assert row.protocol in task.protocols
        # mask AP is printed beside box AP, on which the board of such a run is ranked
        assert row.metric in {task.metrics[0].name, *(["mask_AP"] if row.task == "coco" else [])}
        assert row.metric in {spec.name for spec in task.metrics}
        assert row.tolerance is not None
        assert row.tolerance.value <= 1


def recipe_file(row: PublishedResult) -> Path:
    names = {
        "imagenet": f"classification/configs/imagenet_{row.protocol}.py",
        "ade20k": f"segmentation/configs/ade20k_{row.protocol}.py",
        "coco": f"detection/configs/coco_{row.protocol}.py",
        "lasot": f"tracking/configs/{row.protocol}.py",
    }
    return ROOT / names[row.task]


@pytest.mark.parametrize(
    "row", [r for r in ROWS if r.protocol], ids=lambda r: f"{r.source}-{r.task}-{r.backbone}-{r.schedule}"
)
def test_settings_of_a_comparable_row_are_those_of_the_protocols_file(row: PublishedResult) -> None:
    from classification.plan import PHOTO_RECIPE_TYPES
    from detection.recipe import DetectionRecipe
    from segmentation.recipe import SegmentationRecipe
    from tracking.recipe import TrackingRecipe

    schemas = {"ade20k": SegmentationRecipe, "coco": DetectionRecipe, "lasot": TrackingRecipe}
    schema: Any = schemas.get(row.task) or PHOTO_RECIPE_TYPES[str(row.protocol)]
    recipe = load_protocol(recipe_file(row), schema, "full").recipe.identity_settings()
    for name, value in row.settings.items():
        ours = recipe
        for part in name.split("."):
            ours = ours[part]
        if name in ("epochs", "optimizer.layer_decay"):  # rows by other lengths and decays are asked for with --set
            continue
        assert ours == value, name


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(HERE.replace("value = 60.0", 'value = "60"').replace('start = "w"', 'strat = "w"'))
    (tmp_path / "b.toml").write_text("[source\n")
    (tmp_path / "c.toml").write_text(HERE.replace('location = "its abstract"', 'location = ""'))
    with pytest.raises(RecordError) as caught:
        read_published(tmp_path)
    for part in (
        "a.toml, row 1: start: Field required",
        "value: Input should be",
        "strat: unknown field",
        "b.toml: ",
        "c.toml: source.location",
    ):
        assert part in str(caught.value)


def test_a_comparable_row_needs_start_tolerance_and_settings(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(HERE + 'protocol = "ostrack256_ce"\n')
    with pytest.raises(RecordError, match="a row with a protocol of bench needs its init"):
        read_published(tmp_path)


COMPARABLE = """
protocol = "ostrack256_ce"
init = "card"
settings = { epochs = 300 }
tolerance = { value = 0.5, basis = "b" }
"""


def write(folder: Path, **files: str) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text)
    return folder


def test_two_rows_for_one_cell_are_refused_unless_one_is_superseded(tmp_path: Path) -> None:
    first, second = HERE + COMPARABLE, HERE.replace("60.0", "61.0") + COMPARABLE
    old = first + 'superseded_by = "b"\n'
    with pytest.raises(RecordError, match="b: x on lasot is also in a"):
        read_published(write(tmp_path / "both", a=first, b=second))
    with pytest.raises(RecordError, match="superseded by 'b', which is not a source"):
        read_published(write(tmp_path / "none", a=old))
    assert len(read_published(write(tmp_path / "well", a=old, b=second))) == 2
