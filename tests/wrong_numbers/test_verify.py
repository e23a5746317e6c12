"""Point 16: what somebody forges who computes every hash and id again, and what ``bench verify`` sees of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import litevit_bench as bench
from benchmarks.cli.main import main
from benchmarks.task_registry import TASKS
from engine.data import file_hashes
from results.records.record import Record
from results.records.store import read_record
from tests.wrong_numbers.forgery import (
    forge_run,
    judge_checks,
    judge_run,
    list_failures,
    set_command,
    verify_folder,
)

KNN = ("run", "digits", "--backbone", "vit_pico", "--protocol", "knn", "--device", "cpu")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of k-NN, one of them timed, and a fine-tuning of a few steps."""
    out = tmp_path_factory.mktemp("store")
    assert main([*KNN, "--tier", "smoke", "--seeds", "0", "--out", str(out)]) == 0
    assert main([*KNN, "--tier", "full", "--seeds", "1", "--out", str(out)]) == 0
    words = ["run", "digits", "--backbone", "vit_pico", "--tier", "smoke", "--device", "cpu", "--out", str(out)]
    assert main(words) == 0
    return out


def find(store: Path, part: str) -> Path:
    (folder,) = store.glob(f"digits/*-{part}-*")
    return folder


@pytest.fixture
def knn(store: Path, tmp_path: Path) -> Path:
    """A copy of one run, as it is handed on without its ledger."""
    return copy_run(find(store, "knn-smoke"), tmp_path)


@pytest.fixture
def tuned(store: Path, tmp_path: Path) -> Path:
    return copy_run(find(store, "finetune-smoke"), tmp_path)


@pytest.fixture
def whole(store: Path, tmp_path: Path) -> Path:
    """A copy of the whole store."""
    return Path(shutil.copytree(store, tmp_path / "store"))


def copy_run(folder: Path, target: Path) -> Path:
    return Path(shutil.copytree(folder, target / folder.name))


def test_an_honest_store_holds(whole: Path) -> None:
    report = verify_folder(whole)
    found = [judge_checks(checks) for _, checks in [*report.records, *report.ledgers]]
    assert {state for checks in found for state in checks.values()} == {"holds"}
    assert {"command", "settings", "card", "parameters", "items", "data", "folder"} <= found[0].keys()


# -- items


def drop_wrong(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Leave out 100 items that the model had wrong."""
    wrong = [row for row in rows if row["label"] != row["prediction"]][:100]
    return [row for row in rows if row not in wrong]


def test_a_hundred_wrong_items_dropped(knn: Path) -> None:
    assert list_failures(forge_run(knn, edit_rows=drop_wrong)) == {"expected", "items"}


def test_a_hundred_wrong_items_dropped_and_the_split_shortened(knn: Path) -> None:
    forged = forge_run(knn, lambda content: content["data"]["splits"].update(test=259), drop_wrong)
    assert list_failures(forged) == {"data", "expected", "items"}


def test_right_items_in_place_of_wrong_ones(knn: Path) -> None:
    def repeat(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        right = next(row for row in rows if row["label"] == row["prediction"])
        kept = drop_wrong(rows)
        return [*kept, *([right] * (len(rows) - len(kept)))]

    assert "items" in list_failures(forge_run(knn, edit_rows=repeat))


def test_labels_set_to_the_predictions(knn: Path) -> None:
    def relabel(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        return [row | {"label": row["prediction"], "place": "0"} for row in rows]

    assert list_failures(forge_run(knn, edit_rows=relabel)) == {"items"}


def make_right(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [row | {"prediction": row["label"], "place": "0"} for row in rows]


def test_all_predictions_made_right_is_found_by_running_again(knn: Path) -> None:
    forged = forge_run(knn, edit_rows=make_right)
    assert list_failures(forged) == set(), "hashes cannot tell predictions from predictions (docs/reference/records.md)"
    assert list_failures(forged, reruns_all=True) == {"top1 run again", "mean_per_class run again", "items run again"}


def test_all_predictions_made_right_but_not_their_place(knn: Path) -> None:
    forged = forge_run(knn, edit_rows=lambda rows: [row | {"prediction": row["label"]} for row in rows])
    assert "items" in list_failures(forged)


def test_all_predictions_of_a_training_made_right_is_found_by_evaluating_again(tuned: Path) -> None:
    forged = forge_run(tuned, edit_rows=make_right)
    assert list_failures(forged) == set()
    assert list_failures(forged, reruns_evaluation=True) == {"top1 evaluated again", "mean_per_class evaluated again"}


def test_checkpoints_say_whose_they_are(tuned: Path) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["config"]["recipe"]["label_smoothing"] = 0.2
        words = ("run", "digits", "--backbone", "vit_pico", "--tier", "smoke", "--set", "label_smoothing=0.2")
        set_command(content, *words)
        content["changed_settings"] = ["label_smoothing"]

    forged = forge_run(tuned, edit)
    assert list_failures(forged) == set()
    assert list_failures(forged, reruns_evaluation=True) == {"evaluation"}


def test_the_order_of_rows_is_free(knn: Path) -> None:
    assert list_failures(forge_run(knn, edit_rows=lambda rows: rows[::-1])) == set()


def test_every_draw_is_compared_with_the_split(tmp_path: Path) -> None:
    words = [*KNN[:-4], "--protocol", "lowshot", "--tier", "smoke", "--shots", "1", "--device", "cpu"]
    assert main([*words, "--set", "draws=2", "--out", str(tmp_path)]) == 0
    (folder,) = tmp_path.glob("digits/*")
    assert judge_run(folder)["items"] == judge_run(folder)["settings"] == "holds"

    def drop_from_second(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        return [row for row in rows if (row["draw"], row["item"]) != ("1", "7")]

    assert {"items", "expected"} <= list_failures(forge_run(folder, edit_rows=drop_from_second))


@pytest.mark.parametrize(
    ("task", "columns", "count"), [("mini_ade", {"item", "name"}, 24), ("mini_lasot", {"sequence", "frames"}, 12)]
)
def test_other_domains_list_their_items(task: str, columns: set[str], count: int, tmp_path: Path) -> None:
    found = TASKS.get(task).list_test_items(tmp_path)
    assert found.keys() == columns and {len(each) for each in found.values()} == {count}


# -- seed, tier, version, settings, backbone


def test_another_seed(knn: Path) -> None:
    assert list_failures(forge_run(knn, lambda content: content.update(seed=7))) == {"command"}


def test_another_tier(tuned: Path) -> None:
    assert list_failures(forge_run(tuned, lambda content: content.update(tier="full"))) == {"command", "settings"}


def test_another_tier_with_another_command(tuned: Path) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["tier"] = "full"
        set_command(content, "run", "digits", "--backbone", "vit_pico")

    assert list_failures(forge_run(tuned, edit)) == {"settings"}


def test_a_version_that_does_not_exist(knn: Path) -> None:
    assert list_failures(forge_run(knn, lambda content: content.update(protocol_version=9))) == {"settings"}


def test_an_earlier_version_is_not_compared(knn: Path) -> None:
    assert judge_run(forge_run(knn, lambda content: content.update(protocol_version=0)))["settings"] == "unchecked"


def set_k(content: dict[str, Any], value: int = 1) -> None:
    content["config"]["recipe"]["k"] = value
    content["changed_settings"] = [] if value == 20 else ["k"]


def test_another_setting(knn: Path) -> None:
    assert list_failures(forge_run(knn, set_k)) == {"settings"}


def test_a_setting_put_back_to_the_files(tmp_path: Path) -> None:
    assert main([*KNN, "--set", "k=5", "--tier", "smoke", "--out", str(tmp_path)]) == 0
    (folder,) = tmp_path.glob("digits/*")
    (check,) = [each for each in verify_folder(folder).records[0][1] if each.subject == "settings"]
    assert check.state == "holds" and "k=5 (file: 20); as the command asks" in check.message
    assert list_failures(forge_run(folder, lambda content: set_k(content, 20))) == {"settings"}


def test_a_setting_without_a_command_is_told(tmp_path: Path) -> None:
    bench.run("digits", "vit_pico", protocol="knn", tier="smoke", overrides={"k": 5}, device="cpu", out=tmp_path)
    (folder,) = tmp_path.glob("digits/*")
    (check,) = [each for each in verify_folder(folder).records[0][1] if each.subject == "settings"]
    assert check.state == "note" and "differs from the file of knn (version 2, smoke) in: k=5" in check.message
    assert judge_run(folder)["command"] == "unchecked"


def test_a_record_says_which_settings_differ_and_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*KNN, "--set", "k=5", "temperature=0.07", "--tier", "smoke", "--out", str(tmp_path)]) == 0
    assert "digits knn smoke vit_pico seed 0 (k=5): " in capsys.readouterr().out, "0.07 is the file's own"
    (folder,) = tmp_path.glob("digits/*")
    assert read_record(folder).changed_settings == ["k"]
    assert list_failures(folder) == set()
    assert main(["list", "runs", "--runs", str(tmp_path)]) == 0
    assert "  k=5  " in capsys.readouterr().out
    assert list_failures(forge_run(folder, lambda content: content.update(changed_settings=[]))) == {"settings"}


def test_another_data_scale(tuned: Path) -> None:
    assert list_failures(forge_run(tuned, lambda content: content["config"].update(data_scale=0.5))) == {"command"}


def test_another_backbone(knn: Path, store: Path) -> None:
    from backbones.registry import get_card

    card = get_card("vit_nano").as_dict()
    forged = forge_run(knn, lambda content: content["backbone"].update(name="vit_nano", card=card))
    assert list_failures(forged) == {"command", "model", "parameters"}


def test_another_digest_of_the_model(knn: Path) -> None:
    forged = forge_run(knn, lambda content: content["backbone"]["model"].update(structure="0" * 64))
    assert list_failures(forged) == {"model"}


def test_code_that_only_a_plug_in_has(knn: Path) -> None:
    forged = forge_run(knn, lambda content: content["backbone"]["model"].update(source="0" * 64))
    assert list_failures(forged) == {"model"}


@pytest.mark.parametrize(
    ("field", "value"), [("mean", [0.1, 0.1, 0.1]), ("architecture", "vit_nano"), ("arguments", {"depth": 2})]
)
def test_another_card(knn: Path, field: str, value: object) -> None:
    forged = forge_run(knn, lambda content: content["backbone"]["card"].update({field: value}))
    assert list_failures(forged) == {"card"}


def test_a_card_of_other_package_versions_is_not_a_fault(knn: Path) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["backbone"]["card"]["mean"] = [0.1, 0.1, 0.1]
        content["environment"]["packages"]["litevit-bench"] = "0.0.1"

    assert judge_run(forge_run(knn, edit))["card"] == "unchecked"


@pytest.mark.parametrize("name", ["macs", "macs_without_attention", "activations", "parameters"])
def test_other_counts(knn: Path, name: str) -> None:
    forged = forge_run(knn, lambda content: content["cost"]["efficiency"].update({name: 1000}))
    assert list_failures(forged) == {"parameters"}


def test_another_number_of_parameters_beside_the_backbone(knn: Path) -> None:
    assert list_failures(forge_run(knn, lambda content: content["backbone"].update(parameters=1000))) == {"parameters"}


def test_other_arguments(knn: Path) -> None:
    found = list_failures(forge_run(knn, lambda content: content["backbone"]["arguments"].update(img_size=64)))
    assert found == {"arguments", "model", "parameters"}


def test_a_renamed_folder_says_nothing_and_a_wrong_name_fails(knn: Path) -> None:
    plain = knn.rename(knn.with_name("my run"))
    assert "folder" not in judge_run(plain)
    wrong = plain.rename(plain.with_name(f"vit_pico-knn-full-seed0-{read_record(plain).run_id}"))
    assert list_failures(wrong) == {"folder"}


# -- data


def edit_record(folder: Path, **changes: Any) -> None:
    forge_run(folder, lambda content: content["data"].update(changes))


def test_nothing_that_a_cache_says_is_believed(knn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from foundation.run_scope import get_run_scope

    seen = []
    task = TASKS.get("digits")
    check = task.check_data

    def spy(*words: Any) -> Any:
        seen.append(get_run_scope().trusts_caches)
        return check(*words)

    monkeypatch.setattr(task, "check_data", spy)
    assert judge_run(knn)["data"] == "holds"
    assert seen == [False]


def make_pictures(root: Path) -> None:
    """Two classes of noise in the layout of ``imagefolder``, every image of the same size."""
    import numpy as np
    from PIL import Image

    draw = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 2), ("test", 3)):
        for kind in ("cat", "dog"):
            folder = root / split / kind
            folder.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(draw.integers(0, 256, (32, 32, 3), np.uint8)).save(folder / f"{number}.bmp")


def run_pictures(tmp_path: Path, **settings: Any) -> tuple[Path, Record]:
    make_pictures(tmp_path / "data")
    record = bench.run(
        "imagefolder", "vit_pico", protocol="knn", tier="smoke", overrides={"img_size": 32, "k": 3}, device="cpu",
        data_root=tmp_path / "data", out=tmp_path / "out", **settings,
    )  # fmt: skip
    (folder,) = (tmp_path / "out" / "imagefolder").glob("*")
    return folder, record


def swap_contents(data: Path) -> None:
    first, second = data / "test" / "cat" / "0.bmp", data / "test" / "dog" / "0.bmp"
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)


def test_swapped_contents_are_other_data(tmp_path: Path) -> None:
    folder, _ = run_pictures(tmp_path)
    assert judge_run(folder, data_root=tmp_path / "data")["data"] == "holds"
    swap_contents(tmp_path / "data")
    assert list_failures(folder, data_root=tmp_path / "data") == {"data"}


def test_as_many_bytes_are_read_as_the_record_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_hashes, "FULL_HASH_LIMIT", 0)
    monkeypatch.setattr(file_hashes, "SAMPLE_SIZE", 1)
    folder, record = run_pictures(tmp_path, hash_all=True)
    assert record.data.coverage == "the bytes of every file"
    assert judge_run(folder, data_root=tmp_path / "data")["data"] == "holds"
    shutil.rmtree(tmp_path / "data")
    shutil.rmtree(tmp_path / "out")
    folder, record = run_pictures(tmp_path)
    assert record.data.coverage is not None and "the bytes of 1 of" in record.data.coverage
    assert judge_run(folder, data_root=tmp_path / "data")["data"] == "holds"


def test_a_fingerprint_by_an_earlier_rule_proves_nothing(tmp_path: Path, knn: Path) -> None:
    def age(content: dict[str, Any]) -> None:
        content["schema_version"] = 4
        content["data"] |= {"fingerprint": "0" * 64, "coverage": None}

    folder, _ = run_pictures(tmp_path)
    aged = forge_run(folder, age)
    (check,) = [
        each for each in verify_folder(aged, data_root=tmp_path / "data").records[0][1] if each.subject == "data"
    ]
    assert check.state == "unchecked" and "covered names and sizes" in check.message
    # the digits' fingerprint has always covered every pixel
    assert list_failures(forge_run(knn, age)) == {"data"}


# -- the ledger


def judge_ledger(store: Path) -> dict[str, str]:
    ((_, checks),) = verify_folder(store).ledgers
    found = judge_checks(checks)
    assert sum(name.startswith("chain ") for name in found) == 1
    return {name: state for name, state in found.items() if not name.startswith("chain ") or state != "holds"}


def test_a_deleted_seed_shows(whole: Path) -> None:
    assert judge_ledger(whole) == {"records": "holds"}
    shutil.rmtree(find(whole, "knn-full"))
    assert judge_ledger(whole) == {"records": "holds", "missing runs": "fails"}


def test_a_renamed_seed_shows(whole: Path) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["seed"] = 5
        set_command(content, *KNN, "--tier", "smoke", "--seeds", "5")

    forged = forge_run(find(whole, "knn-smoke"), edit)
    assert list_failures(forged) == set(), "nothing in the record itself"
    assert judge_ledger(whole) == {"records": "unchecked", "missing runs": "fails"}


def test_an_edited_latency_shows(whole: Path) -> None:
    folder = find(whole, "knn-full")
    forged = forge_run(folder, lambda content: content["cost"]["efficiency"]["latency"].update(raw_ms=[0.01]))
    assert forged == folder and list_failures(forged) == set(), "times cannot be computed again"
    assert judge_ledger(whole) == {"records": "holds", "record": "fails"}
    ((_, checks),) = verify_folder(forged).ledgers
    assert judge_checks(checks)["record"] == "fails", "also where only the run is named"


def test_replaced_predictions_show(whole: Path) -> None:
    forge_run(find(whole, "knn-smoke"), edit_rows=make_right)
    assert judge_ledger(whole)["record"] == "fails"


def test_runs_that_were_repeated_until_the_number_was_right_are_told(whole: Path) -> None:
    assert main([*KNN, "--tier", "smoke", "--fresh", "--out", str(whole)]) == 0
    assert "repeated runs" not in judge_checks(verify_folder(whole).ledgers[0][1]), "the same number twice is no choice"
    # another number under the same id, as by other code: the record of a third attempt
    (first, second) = sorted(whole.glob("digits/*-knn-smoke-*"))
    third = Path(shutil.copytree(first, first.with_name(f"{first.name}.3")))
    content = json.loads((third / "record.json").read_text())
    content["result"]["items"]["sha256"] = "0" * 64
    (third / "record.json").unlink()
    from results.records.store import write_record

    write_record(third, Record.model_validate(content))
    checks = [check for _, each in verify_folder(whole).ledgers for check in each if check.subject == "repeated runs"]
    assert [check.state for check in checks] == ["note"]
    assert "was started 2 times and completed 3 times with different numbers" in checks[0].message
    assert second.is_dir()


def test_without_a_ledger_one_line_says_so(knn: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(knn)]) == 0
    out = capsys.readouterr().out
    assert out.count("no ledger says what was deleted, replaced or repeated") == 1
    assert out.endswith("1 record: nothing failed; 1 could not be checked here\n")


def test_the_head_of_the_ledger_is_printed(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(whole)]) == 0
    out = capsys.readouterr().out
    assert "ledger head " in out and ", 3 attempts" in out


# -- running again


def test_runs_are_made_again_from_their_records(knn: Path, tuned: Path) -> None:
    for folder in (knn, tuned):
        found = judge_run(folder, reruns_all=True)
        assert found["top1 run again"] == found["mean_per_class run again"] == found["items run again"] == "holds"
        assert "run again" not in found
    assert {path.name for path in tuned.parent.iterdir()} == {knn.name, tuned.name}, "nothing is left beside them"


def test_another_seed_is_found_by_running_again(knn: Path) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["seed"] = 5
        set_command(content, *KNN, "--tier", "smoke", "--seeds", "5")

    assert "items run again" in list_failures(forge_run(knn, edit), reruns_all=True)


def test_elsewhere_another_number_proves_nothing(knn: Path) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["environment"]["packages"]["torch"] = "1.0"

    found = judge_run(forge_run(knn, edit, make_right), reruns_all=True)
    assert found["top1 run again"] == found["items run again"] == "unchecked"


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda content: content["environment"].update(processes=2), "it was made by 2 processes"),
        (lambda content: content["backbone"].update(name="vit_gone"), "vit_gone"),
        (
            lambda content: content["backbone"].update(
                init="checkpoint", checkpoint={"uri": "gone.pth", "sha256": "0" * 64, "bytes": 1}
            ),
            "its start weights gone.pth",
        ),
    ],
)
def test_what_is_missing_to_run_again_is_said(knn: Path, edit: Any, words: str) -> None:
    checks = verify_folder(forge_run(knn, edit), reruns_all=True).records[0][1]
    (found,) = [check for check in checks if check.subject == "run again"]
    assert found.state == "unchecked" and words in found.message


def test_a_run_from_a_checkpoint_is_made_again(tuned: Path, tmp_path: Path) -> None:
    weights = next(tuned.glob("checkpoints/best_*.pth"))
    words = [*KNN, "--tier", "smoke", "--checkpoint", str(weights), "--allow-partial", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    (folder,) = (tmp_path / "out").glob("digits/*")
    assert judge_run(folder, reruns_all=True)["items run again"] == "holds"
