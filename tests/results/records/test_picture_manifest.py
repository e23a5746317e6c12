"""The manifest of a run's pictures: what was written is read; what is unsafe to display is left out."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from results.records.picture_manifest import (
    MAX_PICTURE_BYTES,
    PictureEntry,
    is_picture_folder_damaged,
    read_pictures,
    write_picture_manifest,
)


def encode_png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(encode_png())
    return tmp_path


def make_entry(file: str = "a.png") -> PictureEntry:
    return PictureEntry(file=file, kind="item_sheet", title="all", items=("x", "y"), tile_size=(2, 4))


def test_what_was_written_is_read(run_folder: Path) -> None:
    write_picture_manifest(run_folder, [make_entry()])
    (picture,) = read_pictures(run_folder)
    assert picture.entry == make_entry()
    assert picture.media_type == "image/png"
    assert picture.path == run_folder / "pictures" / "a.png"


@pytest.mark.parametrize("name", ["../a.png", "a/b.png", ".png", "a.svg", "a.png\n", "/a.png"])
def test_a_name_that_leaves_the_folder_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="file"):
        make_entry(name)


def test_unsafe_files_are_left_out(run_folder: Path, tmp_path: Path) -> None:
    folder = run_folder / "pictures"
    (tmp_path / "private.png").write_bytes(encode_png())
    (folder / "link.png").symlink_to(tmp_path / "private.png")
    (folder / "big.png").write_bytes(encode_png() + bytes(MAX_PICTURE_BYTES))
    (folder / "script.png").write_text("<svg onload='alert(1)'/>")
    write_picture_manifest(run_folder, [make_entry(f"{n}.png") for n in ("link", "big", "script", "missing", "a")])
    assert [picture.entry.file for picture in read_pictures(run_folder)] == ["a.png"]


@pytest.mark.parametrize("text", ["", "[]", "{", json.dumps({"pictures": [{"file": "a.png"}]}), "[" * 100_000])
def test_a_damaged_manifest_costs_the_pictures_only(run_folder: Path, text: str) -> None:
    (run_folder / "pictures" / "pictures.json").write_text(text)
    assert read_pictures(run_folder) == []


def test_a_folder_of_which_nothing_can_be_displayed_is_damaged(run_folder: Path) -> None:
    assert not is_picture_folder_damaged(run_folder), "no manifest: pictures that are still to be drawn"
    write_picture_manifest(run_folder, [])
    assert not is_picture_folder_damaged(run_folder), "a run may have none to show"
    write_picture_manifest(run_folder, [make_entry()])
    assert not is_picture_folder_damaged(run_folder)
    (run_folder / "pictures" / "a.png").unlink()
    assert is_picture_folder_damaged(run_folder)
    (run_folder / "pictures" / "a.png").write_bytes(encode_png())
    (run_folder / "pictures" / "pictures.json").write_text("[]")
    assert is_picture_folder_damaged(run_folder)
