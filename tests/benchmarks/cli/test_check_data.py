"""What ``bench check data`` prints, draws and gives as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.cli.main import main
from benchmarks.cli.setup.check_data import _format_shares
from tests.classification.data.make import write_class_folders


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes in three splits; the working folder is beside them."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return write_class_folders(tmp_path / "photos", ("train", "val", "test"), ("cat", "dog"), each=4)


def test_a_summary_and_a_sheet_in_the_folder_of_runs(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "data", "imagefolder", "--data-root", str(photos)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "train: 8 items in 2 classes, 4 to 4 each (cat 4, dog 4)" in lines
    assert "  sizes    40 x 32 px, all" in lines
    assert "  images   JPEG 8; RGB, 8 bit 8" in lines
    assert lines[-1] == "12 samples are drawn in runs/check/imagefolder.png: look at them"
    with Image.open("runs/check/imagefolder.png") as sheet:
        assert sheet.format == "PNG" and sheet.width == 1200


def test_json_has_the_same_facts_and_draws_where_asked(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["check", "data", "imagefolder", "--data-root", str(photos), "--json"]
    assert main(words) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["options"] == {} and content["sheet"] is None and list(Path().iterdir()) == []
    train = content["summary"]["splits"]["train"]
    assert train["labels"] == {"cat": 4, "dog": 4}
    assert train["images"]["most_common"] == [[40, 32], 8]
    assert len(content["summary"]["samples"]) == 12
    assert main([*words, "--sheet", "a.png"]) == 0
    assert json.loads(capsys.readouterr().out)["sheet"] == "a.png" and Path("a.png").is_file()


def test_duplicates_are_said_once_and_loudly(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = (photos / "train" / "cat" / "train0.jpg").read_bytes()
    (photos / "train" / "dog" / "copy.jpg").write_bytes(copy)
    (photos / "test" / "cat" / "copy.jpg").write_bytes(copy)
    assert main(["check", "data", "imagefolder", "--data-root", str(photos)]) == 1
    said = capsys.readouterr().out
    assert "LOOK: train: 1 image has the content of an earlier one: train/dog/copy.jpg = train/cat/train0.jpg" in said
    assert "with two labels: train/dog/copy.jpg is dog and train/cat/train0.jpg is cat" in said
    assert said.count("1 item of test has the content of an item of train") == 1
    assert "IN TWO SPLITS: 1 item of test has the content" in said


def test_many_classes_show_the_largest_and_the_smallest(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_class_folders(photos, ("train", "test"), [f"class{number:02d}" for number in range(13)], each=2)
    main(["check", "data", "imagefolder", "--data-root", str(photos)])
    said = capsys.readouterr().out
    assert "  classes  largest cat 4, dog 4, class00 2, class01 2; smallest class09 2" in said


def test_a_sheet_that_cannot_be_written_is_one_sentence(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["check", "data", "imagefolder", "--data-root", str(photos), "--sheet", "no/where.png"]
    assert main(words) == 2
    said = capsys.readouterr()
    assert "train: 8 items" in said.out, "the summary is printed all the same"
    assert said.err.startswith("bench: the contact sheet no/where.png cannot be written (its folder is not there, ")


def test_sheets_in_the_folder_of_the_data_are_no_data(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder that a newcomer stands in is that of his images."""
    monkeypatch.chdir(photos)
    words = ["check", "data", "imagefolder", "--data-root", "."]
    assert main(words) == 0 and Path("runs/check/imagefolder.png").is_file()
    assert main(words) == 0, "the sheet of the first check is not taken for a class"
    # a picture of the user's at this place is data
    Path("runs/check/mine.png").write_bytes(Path("train/cat/train0.jpg").read_bytes())
    assert main(words) == 2


def test_a_sheet_replaces_sheets_only(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["check", "data", "imagefolder", "--data-root", str(photos), "--sheet"]
    assert main([*words, "a.png"]) == 0 and main([*words, "a.png"]) == 0
    Path("photo.png").write_bytes(b"my only copy")
    for sheet, reason in (
        ("photo.png", "is there and is no contact sheet"),
        (str(photos / "classes.txt"), "does not end in .png"),
        (str(photos / "train" / "cat" / "new.png"), "lies in the data"),
    ):
        assert main([*words, sheet]) == 2
        assert reason in capsys.readouterr().err
    assert Path("photo.png").read_bytes() == b"my only copy" and not (photos / "train" / "cat" / "new.png").exists()


def test_classes_whose_first_words_are_one_stay_apart() -> None:
    assert _format_shares({"car, red": 40.0, "car, blue": 35.0, "sky, above": 25.0, "sea": 0.0}) == (
        "car, red 40.0 %, car, blue 35.0 %, sky 25.0 %; 1 class without"
    )
