"""Folders of other tools are refused by the name of the tool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from detection.data.own_folder.read_folder import read_cocofolder
from foundation.errors import DataError
from tests.detection.make import write_annotated

LABELME = {
    "version": "5.2.1",
    "flags": {},
    "shapes": [{"label": "cat", "points": [[1, 2], [9, 9]], "shape_type": "rectangle"}],
    "imagePath": "a.png",
    "imageData": None,
}
VIA = {"a.png12": {"filename": "a.png", "regions": [{"shape_attributes": {"name": "rect"}}], "file_attributes": {}}}
CREATEML = [{"image": "a.png", "annotations": [{"label": "cat", "coordinates": {"x": 1, "y": 2}}]}]
STUDIO = [{"id": 1, "annotations": [{"result": [{"value": {"x": 1, "rectanglelabels": ["cat"]}}]}]}]


@pytest.mark.parametrize(
    ("content", "tool"), [(LABELME, "LabelMe"), (VIA, "VIA"), (CREATEML, "CreateML"), (STUDIO, "Label Studio")]
)
@pytest.mark.parametrize("count", [1, 2])
def test_files_of_other_tools_are_named(tmp_path: Path, content: Any, tool: str, count: int) -> None:
    write_annotated(tmp_path, tmp_path / "gone.json", 0, count)
    (tmp_path / "gone.json").unlink()
    for number in range(count):
        (tmp_path / f"{number}.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=f"is a file of {tool}.*write COCO json"):
        read_cocofolder(tmp_path)


def test_a_file_of_cocos_is_read_whatever_words_it_has(tmp_path: Path) -> None:
    write_annotated(tmp_path, tmp_path / "all.json", 0, 3)
    content = json.loads((tmp_path / "all.json").read_text())
    (tmp_path / "all.json").write_text(json.dumps({"info": {"version": "1", "shapes": [1]}, **content}))
    assert len(read_cocofolder(tmp_path).splits["test"]) == 1
