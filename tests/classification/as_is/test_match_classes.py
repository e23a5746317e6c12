"""The classes of data and head: matched one to one, or refused with their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from classification.as_is.head_classes import make_head_classes
from classification.as_is.match_classes import ClassColumns, match_classes
from classification.as_is.settings import parse_settings
from engine.evaluation.model_source import ModelSource
from foundation.errors import BenchError, ConfigError, DataError
from tests.classification.as_is.make import (
    GOLDFISH,
    SYNSETS,
    TEDDY,
    TENCH,
    make_model,
    open_folder,
    save_model,
    write_class_folders,
)


def match(names: list[str], num_classes: int = 1000, *overrides: str, task: str = "imagefolder") -> ClassColumns:
    head = make_head_classes(num_classes, "card")
    return match_classes(task, names, head, parse_settings(overrides))


def test_folders_of_a_part_of_imagenet() -> None:
    found = match([GOLDFISH, TENCH])
    assert found.columns[:2] == (1, 0) and sorted(found.columns) == list(range(1000)) and not found.is_whole_head
    assert match([GOLDFISH, TENCH], 1000, "restrict=true").columns == (1, 0)
    assert match(SYNSETS, task="imagenet").is_whole_head


@pytest.mark.parametrize(
    "names", [["tench", "goldfish"], ["Tinca_tinca", "Carassius auratus"], ["tench, Tinca tinca", GOLDFISH]]
)
def test_folders_named_in_words(names: list[str]) -> None:
    assert match(names).columns[:2] == (0, 1)


def test_a_word_of_two_classes_is_refused() -> None:
    """The crane is a bird and a machine."""
    with pytest.raises(DataError, match=r"crane of imagefolder may mean several classes of the head \(134 crane, 517"):
        match(["tench", "crane"])


def test_names_that_the_head_does_not_have_are_refused() -> None:
    with pytest.raises(DataError, match=r"2 of 3 classes of imagefolder \(sofa x, zzz\) are none of the 1,000 classes"):
        match(["sofa x", "tench", "zzz"])
    with pytest.raises(DataError, match="are all class 0 of the head"):
        match(["tench", TENCH])


def test_a_head_of_imagenet_21k_chooses_among_the_thousand() -> None:
    """The list of timm lacks the teddy bear, which a line of a class map gives a place."""
    present = [synset for synset in SYNSETS if synset != TEDDY]
    found = match(present, 21843)
    assert len(found.columns) == 999 and found.num_head_classes == 21843
    assert match([TENCH, GOLDFISH], 21843, "restrict=true").columns == found.columns[:2]
    with pytest.raises(DataError, match=rf"1 of 1000 classes of imagenet \({TEDDY}\)"):
        match(SYNSETS, 21843, task="imagenet")
    whole = match(SYNSETS, 21842, task="imagenet")
    assert sorted(whole.columns) == list(range(1000)), "Microsoft's list has these classes first"


def test_the_missing_class_of_imagenet_21k_by_a_class_map(tmp_path: Path) -> None:
    file = tmp_path / "map.csv"
    file.write_text(f"{TEDDY},21800\n")
    found = match(SYNSETS, 21843, f"class_map={file}", task="imagenet")
    assert found.columns[SYNSETS.index(TEDDY)] == 21800 and len(found.columns) == 1000


def test_class_maps(tmp_path: Path) -> None:
    file = tmp_path / "map.txt"
    file.write_text('fish,0\n"gold fish",goldfish\nshark,n01484850\n')
    assert match(["fish", "gold fish", "shark"], 1000, f"class_map={file}").columns[:3] == (0, 1, 2)
    file.write_text("shark\nfish\n")  # as timm has it: the line is the index
    assert match(["fish", "shark"], 1000, f"class_map={file}").columns[:2] == (1, 0)
    assert match(["0", "1", "10", "2"], 1000, "class_map=index").columns[:4] == (0, 1, 10, 2), "ImageNet-V2"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("fish,0\n", r"1 of 2 classes of imagefolder \(shark\)"),
        ("fish,0\nshark,0\n", "fish, shark of imagefolder are all class 0"),
        ("fish,0\nfish,1\n", "names the folder fish twice"),
        ("fish,1000\nshark,1\n", "gives fish the class '1000', which is no class of the head"),
        ("fish,crane\nshark,1\n", "which is several classes of the head"),
        ("fish,0\nshrak,1\n", "the lines of shrak, which are no folders, and none for shark"),
        ("", "has no lines, and none for fish, shark"),
    ],
)
def test_class_maps_that_are_not_total(content: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "map.csv"
    file.write_text(content)
    with pytest.raises(BenchError, match=message):
        match(["fish", "shark"], 1000, f"class_map={file}")


def test_a_class_map_is_part_of_the_id(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "data", ["x", "y"], each=1)
    weights = save_model(tmp_path / "x.pth", make_model(5))
    found = []
    for content in ("x,0\ny,1\n", "x,1\ny,0\n"):
        (tmp_path / "map.csv").write_text(content)
        source = ModelSource(backbone="vit_pico", checkpoint=weights, overrides=(f"class_map={tmp_path / 'map.csv'}",))
        found.append(open_folder(source, root))
    assert found[0].backbone.arguments != found[1].backbone.arguments
    assert found[0].plan.config == found[1].plan.config and found[1].columns.columns == (1, 0, 2, 3, 4)


def test_a_class_map_counts_by_what_it_says(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "data", ["x", "y"], each=1)
    weights, found = save_model(tmp_path / "x.pth", make_model(5)), []
    for content in ("x,0\ny,1\n", "y,1\r\nx,0\r\nz,3\r\n"):
        (tmp_path / "map.csv").write_bytes(content.encode())
        source = ModelSource(backbone="vit_pico", checkpoint=weights, overrides=(f"class_map={tmp_path / 'map.csv'}",))
        found.append(open_folder(source, root).backbone.arguments)
    assert found[0] == found[1]


def test_a_class_map_must_not_contradict_the_names_of_a_head(tmp_path: Path) -> None:
    file = tmp_path / "map.txt"
    file.write_text("header\n" + "\n".join(SYNSETS[:-1]))  # each class is taken for the next one
    with pytest.raises(ConfigError, match=f"folder {TENCH} for class 1 of the head .* {TENCH} is its class 0"):
        match([TENCH, GOLDFISH], 1000, f"class_map={file}")
    run = make_head_classes(3, "run", ("1", "10", "2"), "imagefolder")
    with pytest.raises(ConfigError, match=r"folder 1 for class 1 of the head \(10\)"):
        match_classes("imagefolder", ["1", "2"], run, parse_settings(("class_map=index",)))
    # the outputs of a file of anyone may have any order
    other = make_head_classes(1000, "checkpoint")
    settings = parse_settings((f"class_map={file}",))
    assert match_classes("imagefolder", [TENCH], other, settings).columns[0] == 1


def test_class_maps_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        match(["fish"], 1000, f"class_map={tmp_path / 'nowhere'}")
    with pytest.raises(DataError, match="takes folders named 0 to 999, and x are not"):
        match(["0", "x"], 1000, "class_map=index")
    with pytest.raises(ConfigError, match="class_map is for the tasks imagefolder and imagenet"):
        match(["0"], 1000, "class_map=index", task="pets")


def test_a_head_whose_classes_nobody_names_has_the_order_of_the_data() -> None:
    found = match(["a", "b", "c"], 3)
    assert found.is_whole_head and "taken in the order of the data's classes: a, b, c" in found.notes[0]
    with pytest.raises(DataError, match="none of the 4 classes of the head of the checkpoint, whose names nobody says"):
        match(["a", "b", "c"], 4)
    with pytest.raises(DataError, match="ImageNet"):
        match([f"c{number:04d}" for number in range(1000)])
    own = make_head_classes(1000, "checkpoint")
    settings = parse_settings(())
    assert match_classes("imagefolder", [f"c{n:04d}" for n in range(1000)], own, settings).is_whole_head
