from __future__ import annotations

from pathlib import Path

import pytest

from foundation.errors import UserError
from results.records.measurements import EfficiencyRecord
from results.records.saved_timings import MAX_TIMING_BYTES, SavedTiming, list_stores, scan_timings, write_timing
from results.records.store import scan_runs
from tests.results.make import make_cost, write_digits_run


def make_timing(name: str = "vit_pico", milliseconds: float = 1.0) -> SavedTiming:
    efficiency = EfficiencyRecord.model_validate(make_cost(100, milliseconds)["efficiency"])
    return SavedTiming(name=name, card={}, device="cpu", measured="2026-01-01T00:00:00+00:00", efficiency=efficiency)


def test_a_timing_is_read_as_it_was_written_and_never_overwritten(tmp_path: Path) -> None:
    first, second = make_timing(), make_timing(milliseconds=2.0)
    paths = [write_timing(tmp_path, each) for each in (first, second)]
    assert paths[0] != paths[1]
    assert sorted(map(str, scan_timings([tmp_path]).timings)) == sorted(map(str, (first, second)))


def test_a_name_cannot_leave_the_folder(tmp_path: Path) -> None:
    path = write_timing(tmp_path / "store", make_timing("../../timm/x\x1b[31m"))
    assert path.parent == tmp_path / "store" / "timings"
    assert "\x1b" not in path.name


def test_timings_of_every_store_below_a_root_are_found(tmp_path: Path) -> None:
    write_digits_run(tmp_path / "runs" / "demo" / "digits" / "run", "a", [True] * 10)
    for store in ("runs", "runs/demo", "other"):
        write_timing(tmp_path / store, make_timing(store))
    found = scan_runs([tmp_path / "runs"])
    assert [each.name for each in found.timings] == ["runs", "runs/demo"]
    assert (len(found.records), found.errors) == (1, [])
    # a folder above the root is not looked at
    assert list_stores([tmp_path / "runs" / "demo"], [found.records[0][0]]) >= {tmp_path / "runs" / "demo"}
    assert tmp_path / "runs" not in list_stores([tmp_path / "runs" / "demo"], [found.records[0][0]])


def test_a_linked_folder_is_not_read(tmp_path: Path) -> None:
    write_timing(tmp_path / "private", make_timing())
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "timings").symlink_to(tmp_path / "private" / "timings")
    found = scan_timings([tmp_path / "store"])
    assert (len(found.timings), len(found.errors)) == (0, 1)
    with pytest.raises(UserError, match="is a link"):
        write_timing(tmp_path / "store", make_timing())


def test_what_is_no_timing_is_named_and_left_out(tmp_path: Path) -> None:
    write_timing(tmp_path, make_timing())
    folder = tmp_path / "timings"
    text = next(folder.glob("*.json")).read_text()
    (folder / "broken.json").write_text(text[:-20])
    (folder / "field.json").write_text(text.replace('"device"', '"host"'))
    (folder / "nan.json").write_text(text.replace("1.0", "NaN"))
    (folder / "zero.json").write_text(text.replace("2.0", "0.0"))
    (folder / "date.json").write_text(text.replace("2026-01-01T", "soon "))
    (folder / "large.json").write_text(text + " " * MAX_TIMING_BYTES)
    (folder / "folder.json").mkdir()
    (tmp_path / "private").write_text("secret: 1")
    (folder / "link.json").symlink_to(tmp_path / "private")
    (folder / "text.json").write_text("secret: 2")
    (folder / "bytes.json").write_bytes(b"\xff\xfe")
    found = scan_timings([tmp_path])
    assert len(found.timings) == 1
    assert len(found.errors) == 10
    assert "secret" not in "".join(found.errors)
    assert any("host: unknown field" in each for each in found.errors)
    assert all(each.count("\n") == 0 for each in found.errors)


def test_a_store_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="name another folder with --save"):
        write_timing(tmp_path / "file", make_timing())
