"""Runs write their pictures after their record: complete, repeatable, and never able to harm the run."""

from __future__ import annotations

import json
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.cli.main import main
from benchmarks.resolve_cell import CellRequest
from benchmarks.run_cell import CellResult, run_cell
from benchmarks.run_pictures import ensure_run_pictures
from classification.digits_task import DIGITS, DigitsTask
from engine.data.digits import load_digits_data
from foundation.errors import RecordError, UserError
from results.records.picture_manifest import MAX_PICTURE_BYTES, read_pictures
from results.records.store import read_record

REQUEST = CellRequest("digits", "vit_pico", "knn", device="cpu")
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> CellResult:
    return run_cell(replace(REQUEST, out=tmp_path_factory.mktemp("runs")))


@pytest.fixture
def bare_run(cell: CellResult, tmp_path: Path) -> Path:
    """A run without pictures, as earlier versions left it."""
    folder = shutil.copytree(cell.folder, tmp_path / cell.folder.name)
    shutil.rmtree(folder / "pictures")
    return folder


def list_contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "pictures").iterdir()}


def test_the_manifest_lists_exactly_the_files(cell: CellResult) -> None:
    pictures = read_pictures(cell.folder)
    assert {picture.path.name for picture in pictures} | {"pictures.json"} == set(list_contents(cell.folder))
    assert all(picture.path.stat().st_size < MAX_PICTURE_BYTES for picture in pictures)
    assert [picture.entry.kind for picture in pictures] == ["item_sheet", "item_sheet"]


def test_every_item_has_its_tile(cell: CellResult) -> None:
    lines = (cell.folder / "items.csv").read_text().splitlines()[1:]
    right = {row[0]: row[1] == row[2] for row in (line.split(",") for line in lines)}
    wrong_sheet, right_sheet = (picture.entry for picture in read_pictures(cell.folder))
    assert sorted([*wrong_sheet.items, *right_sheet.items]) == sorted(right)
    assert not any(right[item] for item in wrong_sheet.items)
    assert all(right[item] for item in right_sheet.items)
    digits = load_digits_data()
    sheet = np.asarray(Image.open(cell.folder / "pictures" / right_sheet.file).convert("L")).astype(int)
    assert right_sheet.tile_size is not None
    width, height = right_sheet.tile_size
    columns = sheet.shape[1] // width
    for place, item in enumerate(right_sheet.items):
        top, left = place // columns * height, place % columns * width
        tile = sheet[top : top + height, left : left + width]
        # 2 px of border, then 5 x 5 px for each pixel of the digit
        shown = tile[2:-2:5, 2:-2:5]
        assert np.abs(shown - digits.images[digits.splits["test"][int(item)]] * 255).max() <= 1


def test_the_same_run_gives_the_same_bytes_without_a_network(
    cell: CellResult, bare_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("drawing needs no network")

    monkeypatch.setattr(socket, "socket", refuse)
    ensure_run_pictures(bare_run, read_record(bare_run))
    assert list_contents(bare_run) == list_contents(cell.folder)


def test_a_failing_drawing_costs_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("no pen")

    monkeypatch.setattr(DigitsTask, "visualize_run", fail)
    result = run_cell(replace(REQUEST, out=tmp_path))
    assert result.record.status == read_record(result.folder).status == "complete"
    lines = [line for line in capsys.readouterr().err.splitlines() if "picture" in line]
    assert len(lines) == 1
    assert "the pictures of this run were not drawn (ZeroDivisionError: no pen); its record is complete" in lines[0]
    assert not (result.folder / "pictures").exists()


def test_an_answer_from_the_record_draws_nothing(cell: CellResult, bare_run: Path, tmp_path: Path) -> None:
    store = tmp_path / "store" / "digits"
    store.mkdir(parents=True)
    bare_run.rename(store / bare_run.name)
    again = run_cell(replace(REQUEST, out=tmp_path / "store"))
    assert again.from_record
    assert not (again.folder / "pictures").exists()


def test_show_run_draws_only_what_is_missing(bare_run: Path, capsys: Capture) -> None:
    assert main(["show", "run", str(bare_run), "--json"]) == 0
    files = [Path(name) for name in json.loads(capsys.readouterr().out)["pictures"]]
    assert files == [picture.path for picture in read_pictures(bare_run)]
    files[0].write_bytes(b"\xff\xd8\xff mine")
    assert main(["show", "run", str(bare_run), "--json"]) == 0
    assert files[0].read_bytes() == b"\xff\xd8\xff mine"


def test_pictures_do_not_disturb_verify(cell: CellResult, capsys: Capture) -> None:
    assert main(["verify", str(cell.folder.parent.parent)]) == 0
    assert "picture" not in capsys.readouterr().out


def test_no_picture_is_written_through_a_link(bare_run: Path, tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    (bare_run / "pictures").symlink_to(tmp_path / "private")
    with pytest.raises(RecordError, match="is a link"):
        ensure_run_pictures(bare_run, read_record(bare_run))
    assert not list((tmp_path / "private").iterdir())


def test_a_folder_that_cannot_be_written_is_said(bare_run: Path) -> None:
    (bare_run / "pictures").write_text("a file is in the way")
    with pytest.raises(UserError, match="cannot be written"):
        ensure_run_pictures(bare_run, read_record(bare_run))


def test_other_test_images_are_not_shown_as_those_of_the_run(bare_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = DIGITS.load_images(Path(), "test", _Card, 8)  # type: ignore[arg-type]
    images.labels[7] = (images.labels[7] + 1) % 10  # type: ignore[index]
    monkeypatch.setattr(DigitsTask, "load_images", lambda *_: images)
    with pytest.raises(UserError, match="test image 7 is no longer the one"):
        ensure_run_pictures(bare_run, read_record(bare_run))


class _Card:
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
