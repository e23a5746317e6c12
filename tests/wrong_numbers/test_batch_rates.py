"""A rate that followed the batch size: said, shown, in the id, made again from the record, and not to be forged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cell_record import list_changed_settings
from benchmarks.cli.main import main
from benchmarks.matrix.resolved_settings import list_resolved_settings
from benchmarks.matrix.stale_records import is_earlier_version
from benchmarks.resolve_cell import CellRequest, resolve_cell, resolve_cell_parts
from benchmarks.verify.repeat_run import _repeat_run
from benchmarks.verify.replay import replan_run
from results.records.record import Record
from results.records.store import read_record
from tests.wrong_numbers.forgery import forge_run, list_failures, verify_folder
from tests.wrong_numbers.test_verify import make_pictures

BATCH = 8
RATE = 0.00046875
"""0.03 for 512 images makes 0.03 x 8 / 512."""

SETTINGS = ("img_size=32", "workers=0", "loggers=[]", f"batch_size={BATCH}")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve training images, and a fine-tuning on them with a batch size of the user."""
    place = tmp_path_factory.mktemp("place")
    make_pictures(place / "data")
    assert main([*words(place), "--set", *SETTINGS, "--out", str(place / "runs")]) == 0
    return place


def words(place: Path) -> list[str]:
    first = ["run", "imagefolder", "--backbone", "vit_pico", "--tier", "smoke", "--device", "cpu"]
    return [*first, "--data-root", str(place / "data")]


@pytest.fixture
def folder(place: Path, tmp_path: Path) -> Path:
    (found,) = (place / "runs" / "imagefolder").glob("*")
    return Path(shutil.copytree(found, tmp_path / found.name))


def judge_settings(folder: Path, place: Path) -> tuple[str, str]:
    checks = verify_folder(folder, data_root=place / "data").records[0][1]
    (check,) = [each for each in checks if each.subject == "settings"]
    return check.state, check.message


def test_the_rate_is_said_and_shown_and_in_the_id(place: Path, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    record = read_record(folder)
    assert record.config["recipe"]["optimizer"]["lr"] == RATE
    assert record.changed_settings == ["batch_size", "img_size", "optimizer.lr"]

    assert main([*words(place), "--set", *SETTINGS, "--dry-run", "--json"]) == 0
    (cell,) = json.loads(capfd.readouterr().out)
    (rate,) = [setting for setting in cell["settings"] if setting["name"] == "optimizer.lr"]
    assert (rate["value"], rate["source"], rate["counts"]) == (RATE, "batch_size", True)

    def resolve(*more: str) -> Any:
        settings = (*SETTINGS, *more)
        return resolve_cell(
            CellRequest("imagefolder", "vit_pico", tier="smoke", overrides=settings, data_root=place / "data")
        )

    # the same settings have the same id, whoever asks and whether the rate was given or followed
    follows, given, other = resolve(), resolve(f"optimizer.lr={RATE}"), resolve("optimizer.lr=0.03")
    assert {cell["run_id"], follows.identity.run_id, given.identity.run_id} == {record.run_id}
    assert other.identity.run_id != record.run_id
    said = f"by the rule of the protocol the rate follows batch_size={BATCH}: optimizer.lr={RATE} (0.03 for 512)"
    assert said in follows.plan.notes and said not in given.plan.notes


def test_a_batch_that_is_whole_is_made_again(place: Path, folder: Path) -> None:
    state, message = judge_settings(folder, place)
    assert state == "holds" and f"optimizer.lr={RATE} (file: 0.001875)" in message


def edit(lr: float, changed: list[str], *more: str) -> Callable[[dict[str, Any]], None]:
    """Another rate, as if the user had given it or not."""

    def change(content: dict[str, Any]) -> None:
        content["config"]["recipe"]["optimizer"]["lr"] = lr
        content["changed_settings"] = changed
        command = content["environment"]["command"]
        at = command.index("--set") + 1
        content["environment"]["command"] = [*command[:at], *more, *command[at:]]

    return change


def test_another_rate_is_not_the_rule_s(place: Path, folder: Path) -> None:
    forged = forge_run(folder, edit(0.01, ["batch_size", "img_size", "optimizer.lr"]))
    assert list_failures(forged, data_root=place / "data") == {"settings"}


def test_the_rate_of_the_file_beside_another_batch_size(place: Path, folder: Path, tmp_path: Path) -> None:
    """0.001875, the rate of the tier: the rule would have made another one of it, so the record has to name it."""
    changed = ["batch_size", "img_size", "optimizer.lr"]
    settings = (*SETTINGS, "optimizer.lr=0.001875")
    request = CellRequest(
        "imagefolder", "vit_pico", tier="smoke", overrides=settings, data_root=place / "data", device="cpu"
    )
    found = resolve_cell(request)
    assert list_changed_settings(found.task, found.request, found.data, found.plan) == changed
    forged = forge_run(folder, edit(0.001875, changed, "optimizer.lr=0.001875"))
    state, message = judge_settings(forged, place)
    assert state == "holds" and "optimizer.lr=0.001875 (file: 0.001875, scaled with batch_size)" in message
    record = read_record(forged)
    assert _repeat_run(forged, record, place / "data", "cpu", tmp_path / "again").record.run_id == record.run_id
    forged = forge_run(forged, lambda content: content.update(changed_settings=changed[:2]))
    assert list_failures(forged, data_root=place / "data") == {"settings"}, "hidden in the list"

    def hide_word(content: dict[str, Any]) -> None:
        content["changed_settings"] = changed
        content["environment"]["command"].remove("optimizer.lr=0.001875")

    assert list_failures(forge_run(forged, hide_word), data_root=place / "data") == {"settings"}, "nobody typed it"


@pytest.mark.parametrize("given", [(), ("optimizer.lr=0.001875",)])
def test_a_record_from_before_the_rule_is_an_earlier_version(place: Path, folder: Path, given: tuple[str, ...]) -> None:
    """It has the rate of the file and names the batch size alone, whether the rate was typed or not."""
    request = CellRequest(
        "imagefolder", "vit_pico", tier="smoke", overrides=(*SETTINGS, *given), data_root=place / "data", device="cpu"
    )
    parts, record = resolve_cell_parts(request), read_record(folder)
    old = json.loads(record.model_dump_json())
    old["config"]["recipe"]["optimizer"]["lr"] = 0.001875
    old["changed_settings"] = ["batch_size", "img_size"]
    assert is_earlier_version(Record.model_validate(old), parts, record.seed)
    old["changed_settings"] = ["batch_size"]
    assert not is_earlier_version(Record.model_validate(old), parts, record.seed), "another size of the images"


def test_a_setting_that_is_younger_than_the_record_s_form_is_a_change(place: Path, folder: Path) -> None:
    """``last_step`` is left out of the settings of an id, and the file of the protocol says ``next_step``."""
    words = (*SETTINGS, "epochs=3", "schedule.warmup=1", "schedule.warmup_peak=last_step")
    request = CellRequest(
        "imagefolder", "vit_pico", tier="smoke", overrides=words, data_root=place / "data", device="cpu"
    )
    parts, name = resolve_cell_parts(request), "schedule.warmup_peak"
    assert name.partition(".")[2] not in parts.plan.config["recipe"]["schedule"]
    assert name in list_changed_settings(parts.task, parts.request, parts.data, parts.plan)
    (shown,) = [each for each in list_resolved_settings(parts) if each.name == name]
    assert (shown.value, shown.source, shown.counts) == ("last_step", "--set", True)
    record = read_record(folder).model_copy(update={"config": dict(parts.plan.config)})
    assert replan_run(record, parts.data, place / "data").file_values[name] == "next_step"
    assert not replan_run(record, parts.data, place / "data").computed
