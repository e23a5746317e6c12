"""Pinned numbers: every protocol has them, a number moves only with its version, and a new setting may leave it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from classification.configs import __file__ as configs_file
from classification.recipe import DigitsRecipe
from tests.wrong_numbers import pin
from tests.wrong_numbers.pinning import comparison, pinned_file
from tests.wrong_numbers.pinning.comparison import describe_version_drift, find_moved
from tests.wrong_numbers.pinning.measure import check_pin, describe_problem, list_pins, list_versions
from tests.wrong_numbers.pinning.pinned_file import (
    ALL_PROTOCOLS,
    ROOM_NAMES,
    PinnedEntry,
    PinnedFile,
    read_pinned_file,
    write_pinned_file,
)
from tests.wrong_numbers.pinning.recipes import describe_settings

PINS: dict[str, dict[str, Any]] = {
    "a": {"losses": [2.0, 1.0]},
    "b": {"scores": {"mIoU": 50.0}},
    ALL_PROTOCOLS: {"splits": [1, 2]},
}
VERSIONS = {"a": 1, "b": 1}


def make_file() -> PinnedFile:
    file = PinnedFile("classification")
    assert pin.update_pins(file, PINS, VERSIONS) == []
    return file


@pytest.mark.parametrize("room", ROOM_NAMES)
def test_every_protocol_is_pinned_and_nothing_else(room: str) -> None:
    pinned = read_pinned_file(room).entries
    found = {(entry, section) for entry, content in pinned.items() for section in content.pins}
    assert found == set(list_pins(room)), f"run `python -m tests.wrong_numbers.pin {room}` and commit the file"
    versions = list_versions(room)
    assert pinned[ALL_PROTOCOLS].versions == versions
    assert all(content.versions == {name: versions[name]} for name, content in pinned.items() if name != ALL_PROTOCOLS)


def test_a_number_that_moved_needs_a_new_version() -> None:
    file = make_file()
    moved = {**PINS, "a": {"losses": [2.0, 1.001]}}
    (refused,) = pin.update_pins(file, moved, VERSIONS)
    assert "moves numbers of classification a@1: losses[1] is 1.001 and not 1" in refused
    assert "raise `version` in classification/configs/a.py" in refused
    assert "python -m tests.wrong_numbers.pin classification" in refused
    file = make_file()
    assert pin.update_pins(file, moved, {"a": 2, "b": 1}) == []
    assert file.entries["a"] == PinnedEntry({"a": 2}, {"losses": [2.0, 1.001]})
    assert file.entries["b"] == make_file().entries["b"]


def test_ids_that_move_are_called_ids() -> None:
    file = PinnedFile("tracking")
    before: dict[str, dict[str, Any]] = {"a": {"plan": ["recipe"], "losses": [1.0]}}
    assert pin.update_pins(file, before, {"a": 1}) == []
    (refused,) = pin.update_pins(file, {"a": {"plan": ["recipe", "data"], "losses": [1.0]}}, {"a": 1})
    assert "moves the ids of runs of tracking a@1: plan is ['recipe', 'data'] and not ['recipe']" in refused


def test_a_reason_for_the_same_version_is_kept_until_the_next_version() -> None:
    file = make_file()
    assert pin.update_pins(file, {**PINS, "b": {"scores": {"mIoU": 51.0}}}, VERSIONS, "only empty maps") == []
    (kept,) = file.entries["b"].same_version
    assert kept == {"versions": {"b": 1}, "moved": ["scores"], "reason": "only empty maps"}
    assert not file.entries["a"].same_version
    assert pin.update_pins(file, PINS, {"a": 1, "b": 2}) == []
    assert not file.entries["b"].same_version


def test_what_all_protocols_share_needs_new_versions_of_all() -> None:
    moved = {**PINS, ALL_PROTOCOLS: {"splits": [1, 3]}}
    (refused,) = pin.update_pins(make_file(), moved, {"a": 2, "b": 1})
    assert "moves numbers of every protocol of classification" in refused
    assert pin.update_pins(make_file(), moved, {"a": 2, "b": 2}) == []


def test_a_version_never_falls_and_a_section_never_goes_unsaid() -> None:
    file = make_file()
    assert pin.update_pins(file, PINS, {"a": 2, "b": 1}) == []
    assert "has version 1, and 2 is pinned already" in pin.update_pins(file, PINS, VERSIONS)[0]
    (refused,) = pin.update_pins(make_file(), {**PINS, "a": {"optimizer": 1}}, VERSIONS)
    assert "losses is gone" in refused


def test_what_is_within_its_tolerance_keeps_its_pin() -> None:
    file = make_file()
    new: dict[str, dict[str, Any]] = {
        "a": {"losses": [2.00005, 1.0]},
        "c": {"settings": {}},
        ALL_PROTOCOLS: {**PINS[ALL_PROTOCOLS], "more": 1},
    }
    assert pin.update_pins(file, new, {"a": 1, "c": 1}) == []
    assert file.entries["a"].pins == {"losses": [2.0, 1.0]}
    assert "b" not in file.entries, "a protocol that is gone has no pins"
    # a new protocol and a new section are pinned without a question
    assert "c" in file.entries
    assert file.entries[ALL_PROTOCOLS] == PinnedEntry({"a": 1, "c": 1}, {"splits": [1, 2], "more": 1})


def test_the_tool_writes_nothing_where_it_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "classification" / "configs").mkdir(parents=True)
    monkeypatch.setattr(pinned_file, "ROOT", tmp_path)
    measured: dict[str, Any] = {**PINS, "a": {"losses": [3.0, 1.0]}}
    monkeypatch.setattr(pin, "describe_version_drift", lambda: None)
    monkeypatch.setattr(pin, "measure_room", lambda room: (measured, VERSIONS))
    write_pinned_file(make_file())
    before = read_pinned_file("classification")
    assert before.entries == make_file().entries
    assert pin.main(["classification"]) == 1
    assert "refused: this change moves numbers" in capsys.readouterr().err
    assert read_pinned_file("classification").entries == before.entries
    assert pin.main(["classification", "--same-version", "a JPEG decoder"]) == 0
    assert read_pinned_file("classification").entries["a"].pins == measured["a"]
    monkeypatch.setattr(pin, "describe_version_drift", lambda: "torch 3 (locked 2)")
    assert pin.main(["classification"]) == 2
    assert "install requirements.lock to pin" in capsys.readouterr().err


def test_a_version_without_pins_is_said() -> None:
    problem = describe_problem(PinnedFile("classification"), {"digits_knn": 3}, "digits_knn", "settings")
    assert problem is not None
    assert "settings of classification digits_knn@3 is not pinned; run" in problem


def test_losses_are_skipped_by_name_where_versions_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "version", lambda name: "2.99.0+cu1" if name == "torch" else _LOCKED[name])
    describe_version_drift.cache_clear()
    try:
        with pytest.raises(pytest.skip.Exception, match=r"torch 2\.99\.0 \(locked "):
            check_pin("classification", "digits_finetune", "losses")
        # all else is compared at every version
        check_pin("classification", "digits_knn", "probe")
    finally:
        describe_version_drift.cache_clear()


_LOCKED = comparison.read_lock()


class LaterRecipe(DigitsRecipe):
    """A recipe that gained a setting, at whose default the number stays."""

    LATER_SETTINGS: ClassVar[dict[str, Any]] = {"sharpness": 0.0}
    sharpness: float = 0.0


class UndeclaredRecipe(DigitsRecipe):
    """A recipe that gained a setting, of which nobody said what it does to earlier ids."""

    sharpness: float = 0.0


class ChangedRecipe(DigitsRecipe):
    """A recipe with another default."""

    drop_path: float = 0.1


def test_a_later_setting_leaves_the_pins_and_an_undeclared_one_does_not() -> None:
    file = Path(configs_file).parent / "digits_finetune.py"
    pinned = read_pinned_file("classification").entries["digits_finetune"].pins["settings"]

    def compare(recipe_type: type[DigitsRecipe]) -> list[str]:
        return find_moved("settings", pinned, describe_settings(file, recipe_type))

    assert compare(DigitsRecipe) == compare(LaterRecipe) == []
    assert compare(UndeclaredRecipe)[0] == "settings.full has a new sharpness"
    assert compare(ChangedRecipe)[0] == "settings.full.drop_path is 0.1 and not 0"


def test_a_number_that_is_not_finite_never_passes() -> None:
    assert find_moved("losses", [1.0], [float("nan")]) == ["losses[0] is nan and not 1"]
    assert find_moved("losses", [1.0], [1.00009]) == []
    assert find_moved("scores", [1.0], [1.0 + 1e-7]) != []
    assert find_moved("probe", {"value": None}, {"value": 0.0}) == ["probe.value is 0.0 and not None"]


def test_superseded_is_a_higher_version_of_everything() -> None:
    entry = PinnedEntry({"a": 1, "b": 2}, {})
    assert not entry.is_superseded_by({"a": 2, "b": 2})
    assert entry.is_superseded_by({"a": 2, "b": 3, "c": 1})
    assert replace(entry, versions={"gone": 1}).is_superseded_by({"a": 1})
