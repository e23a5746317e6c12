"""The record of an analysis: one of schema version 1 is read under the names of today, and ids stay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from analysis.record import ANALYSIS_FILE, ANALYSIS_SCHEMA_VERSION, dump_analysis, make_analysis_id, read_analysis
from foundation.errors import RecordError

NEW_FIELDS = {"image_decoder": None, "nondeterministic_operations": None, "memory_allocator": None}
FIXTURE = Path(__file__).parent / "fixtures" / "analysis_v1.json"


@pytest.fixture()
def old() -> dict[str, Any]:
    """An analysis as bench wrote it under schema version 1."""
    content: dict[str, Any] = json.loads(FIXTURE.read_text())
    return content


def read(folder: Path, content: dict[str, Any]) -> Any:
    (folder / ANALYSIS_FILE).write_text(json.dumps(content))
    return read_analysis(folder)


def test_version_1_is_read_under_the_names_of_today(old: dict[str, Any], tmp_path: Path) -> None:
    old["data"]["seen"]["departures"] = ["a cut"]
    new = read(tmp_path, old)
    assert new.schema_version == 1 < ANALYSIS_SCHEMA_VERSION, "the version it says stays"
    assert (new.kind, new.method_version) == (old["what"], old["method"])
    assert (new.analysis_id, new.numbers, new.files) == (old["analysis_id"], old["numbers"], old["files"])
    # no record of that version says what decoded its images, gave it memory, or added in another order
    assert new.environment.model_dump() == old["where"] | NEW_FIELDS
    assert new.data.dataset.deviations == ["a cut"]
    assert new.data.dataset.fingerprint == old["data"]["seen"]["fingerprint"]
    assert new.backbones[0].checkpoint.load_report.matched_fraction == 1
    assert new.title == "spectrum: vit_pico (checkpoint) on 8 images of digits val"
    (tmp_path / ANALYSIS_FILE).write_text(dump_analysis(new))
    with pytest.raises(RecordError, match="what: unknown field"):
        read(tmp_path, old | {"schema_version": 2})


def test_an_analysis_without_images_and_one_with_a_hole(old: dict[str, Any], tmp_path: Path) -> None:
    assert read(tmp_path, old | {"data": None}).data is None
    with pytest.raises(RecordError, match="kind: Field required"):
        read(tmp_path, {name: value for name, value in old.items() if name != "what"})
    with pytest.raises(RecordError, match="data: Field required"):
        read(tmp_path, {name: value for name, value in old.items() if name != "data"})


def test_the_id_follows_from_the_fields_as_it_did(old: dict[str, Any], tmp_path: Path) -> None:
    """The digest keeps the key names of version 1; this is what makes an old analysis be found again."""
    new = read(tmp_path, old)
    backbone = old["backbones"][0]
    kept_fields = ("name", "architecture", "arguments", "input_size", "mean", "std", "prefix_tokens")
    identity = {
        "card": {name: backbone["card"][name] for name in kept_fields},
        "arguments": backbone["arguments"],
        "init": "checkpoint",
        "checkpoint": backbone["checkpoint"]["sha256"],
        "allow_partial": False,
        "seed": None,
    }
    fields = {"backbones": [identity], "data": new.data.to_identity(), "settings": new.settings}
    assert make_analysis_id(new.kind, new.method_version, fields) == old["analysis_id"]
    assert new.data.to_identity() == old["data"]
