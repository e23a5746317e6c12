"""Records of earlier schema versions, as committed, under the names of today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import RecordError
from pretraining.recipe import MocoRecipe
from results.records.identity import build_run_identity, collect_identity_fields
from results.records.record import SCHEMA_VERSION, Record, dump_record, parse_record
from results.records.renamed_settings import RENAMED_SETTINGS, find_new_name, upgrade_settings
from results.records.schema_upgrade import upgrade_config, upgrade_record
from results.records.verification import VerificationCheck, verify_record
from segmentation.recipe import SegmentationRecipe
from tests.results.make import FIXTURE
from tracking.recipe import TrackingRecipe

FIXTURES = ("record_v1", "record_v2", "record_v3", "record_v3_tracking")


def content(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FIXTURE.parent / f"{name}.json").read_text())
    return loaded


def parse(changed: dict[str, Any]) -> Record:
    return parse_record(json.dumps(changed), "x.json")


def find_check(record: Record, subject: str) -> VerificationCheck:
    return next(check for check in verify_record(Path("nowhere"), record) if check.subject == subject)


@pytest.mark.parametrize("name", FIXTURES)
def test_an_earlier_record_loads_under_the_new_names_with_its_numbers(name: str) -> None:
    old, new = content(name), parse(content(name))
    assert new.schema_version == old["schema_version"] < SCHEMA_VERSION, "the version it says stays"
    assert new.environment.model_dump(exclude_unset=True) == old["where"]
    assert new.non_identity_settings.get("loggers") == old.get("neutral", {}).get("trackers")
    assert "trackers" not in new.non_identity_settings
    assert new.non_identity_settings.keys() - {"loggers"} == old.get("neutral", {}).keys() - {"trackers"}
    assert new.data.deviations == old["data"].get("departures", [])
    assert (new.data.fingerprint, new.data.splits) == (old["data"]["fingerprint"], old["data"]["splits"])
    assert new.result is not None
    assert new.result.primary_metric == old["result"]["primary"]
    for metric, stated in old["result"]["metrics"].items():
        found = new.result.metrics[metric]
        assert (found.value, found.unit, found.n) == (stated["value"], stated["unit"], stated["n"])
        assert (found.interval is None) == (stated["interval"] is None)
        if found.interval is not None:
            assert found.interval.resampling_unit == stated["interval"]["over"]
            assert (found.interval.low, found.interval.high) == (stated["interval"]["low"], stated["interval"]["high"])
    checkpoint = old["backbone"]["checkpoint"]
    assert (new.backbone.checkpoint is None) == (checkpoint is None)
    if new.backbone.checkpoint is not None:
        assert new.backbone.checkpoint.load_report is not None
        assert new.backbone.checkpoint.load_report.matched_fraction == checkpoint["load_report"]["share"]
    assert new.config["recipe"].keys() == upgrade_settings(old["config"]["recipe"], old["domain"]).keys()


def test_the_fixtures_hold_what_is_renamed() -> None:
    """Else the test above says nothing."""
    assert content("record_v3")["backbone"]["checkpoint"]["load_report"]["share"] == 1
    assert content("record_v3")["data"]["departures"]
    assert content("record_v3")["result"]["metrics"]["top1"]["interval"]["over"] == "images"
    assert set(content("record_v3_tracking")["config"]["recipe"]) >= RENAMED_SETTINGS["tracking"].keys() - {
        "trackers",
        "eliminate.keep",
    }


def test_tracking_settings_of_version_3_make_the_recipe_of_today() -> None:
    record = parse(content("record_v3_tracking"))
    recipe = TrackingRecipe.model_validate({**record.config["recipe"], **record.non_identity_settings})
    assert recipe.identity_settings() == record.config["recipe"], "so a new run stands on the same board"
    # settings that were added later and change no number
    assert recipe.non_identity_settings() == {**record.non_identity_settings, "got10k_list": None}
    old = content("record_v3_tracking")["config"]["recipe"]
    assert recipe.ce.keep_ratio == old["eliminate"]["keep"] == 0.7
    assert recipe.max_frame_gap == old["gap"] == 200
    assert recipe.box_loss_cell == old["supervise"] == "predicted"


@pytest.mark.parametrize("name", FIXTURES)
@pytest.mark.parametrize("identity", ["run_id", "comparability"])
def test_an_id_that_followed_from_the_old_fields_follows_from_the_new_ones(name: str, identity: str) -> None:
    old, new = content(name), parse(content(name))
    followed = getattr(collect_identity_fields(old), identity) == old[identity]
    assert followed == (name != "record_v1" or identity == "comparability"), "schema 1 made run_id of other fields"
    if followed:
        assert getattr(new, identity) == getattr(build_run_identity(new), identity)
        assert find_check(new, identity).state == "holds"
    else:
        assert getattr(new, identity) == old[identity]
    renamed = name == "record_v3_tracking"
    assert (getattr(new, identity) != old[identity]) == renamed, "only names in the configuration are in an id"


@pytest.mark.parametrize(
    ("path", "value", "broken"),
    [
        (("seed",), 7, {"run_id"}),
        (("tier",), "full", {"run_id", "comparability"}),
        (("config", "recipe", "gap"), 100, {"run_id", "comparability"}),
        (("config", "recipe", "eliminate", "keep"), 0.5, {"run_id", "comparability"}),
        (("backbone", "card", "prefix_tokens"), 2, {"run_id"}),
    ],
)
def test_an_id_that_did_not_follow_is_kept_and_said_to_be_wrong(
    path: tuple[str, ...], value: object, broken: set[str]
) -> None:
    changed = content("record_v3_tracking")
    inner = changed
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    new = parse(changed)
    for identity in ("run_id", "comparability"):
        check = find_check(new, identity)
        if identity in broken:
            assert getattr(new, identity) == changed[identity]
            assert check.state == "fails"
            assert f"the record says {changed[identity]}" in check.message
        else:
            assert check.state == "holds"


def test_a_stated_id_alone_cannot_be_changed_unseen() -> None:
    changed = content("record_v3_tracking") | {"run_id": "0" * 16}
    new = parse(changed)
    assert new.run_id == "0" * 16
    assert find_check(new, "run_id").state == "fails"
    assert find_check(new, "comparability").state == "holds"


@pytest.mark.parametrize("name", FIXTURES)
@pytest.mark.parametrize(
    "path",
    [(), ("where",), ("data",), ("result",), ("result", "items"), ("backbone",)],
    ids=lambda path: ".".join(path),
)
def test_unknown_fields_are_still_refused(name: str, path: tuple[str, ...]) -> None:
    changed = content(name)
    inner = changed
    for part in path:
        inner = inner[part]
    inner["colour"] = "red"
    with pytest.raises(RecordError, match=r"colour: unknown field"):
        parse(changed)


def test_old_names_are_refused_in_a_record_of_today() -> None:
    with pytest.raises(RecordError, match=r"where: unknown field") as caught:
        parse(content("record_v3") | {"schema_version": SCHEMA_VERSION})
    for old in ("neutral", "data.departures", "result.primary", "backbone.checkpoint.load_report.share"):
        assert f"{old}: unknown field" in str(caught.value)
    assert "result.metrics.top1.interval.over: unknown field" in str(caught.value)


def test_a_field_under_both_names_is_refused_and_neither_is_dropped() -> None:
    changed = content("record_v3")
    changed["data"]["deviations"] = []
    with pytest.raises(RecordError, match=r"data\.departures: unknown field"):
        parse(changed)
    with pytest.raises(RecordError, match=r"where: unknown field"):
        parse(content("record_v3") | {"environment": content("record_v3")["where"]})


@pytest.mark.parametrize("name", FIXTURES)
@pytest.mark.parametrize("part", ["config", "data", "result", "backbone", "neutral", "where", "domain"])
@pytest.mark.parametrize("value", [None, 3, "x", [], ["recipe"]])
def test_a_field_of_another_kind_is_named_and_no_trace(name: str, part: str, value: object) -> None:
    changed = content(name) | {part: value}
    try:
        parse(changed)
    except RecordError as error:
        assert str(error).startswith("x.json is not a valid record: ")
    else:
        assert (part, value) in (("result", None), ("domain", "x")), "only these are allowed values"
    assert isinstance(upgrade_record(changed), dict)


@pytest.mark.parametrize("name", FIXTURES)
def test_what_was_read_can_be_written_and_read_again(name: str) -> None:
    record = parse(content(name))
    assert parse_record(dump_record(record), "again") == record
    assert upgrade_record(json.loads(dump_record(record)))["run_id"] == record.run_id, "an id is upgraded once"


def test_upgrading_leaves_what_it_was_given() -> None:
    old = content("record_v3_tracking")
    upgrade_record(old)
    assert old == content("record_v3_tracking")


def test_settings_are_renamed_by_domain() -> None:
    old = {"hidden": 1, "taps": 2, "gap": 3, "trackers": []}
    assert upgrade_settings(old, "classification") == {"hidden": 1, "taps": 2, "gap": 3, "loggers": []}
    assert upgrade_settings(old, "pretraining") == {"hidden_dim": 1, "taps": 2, "gap": 3, "loggers": []}
    assert upgrade_settings(old, "segmentation") == {"hidden": 1, "out_indices": 2, "gap": 3, "loggers": []}
    assert upgrade_settings(old, "tracking") == {"hidden": 1, "taps": 2, "max_frame_gap": 3, "loggers": []}
    assert upgrade_settings(old, "a plug-in's") == {"hidden": 1, "taps": 2, "gap": 3, "loggers": []}


def test_settings_in_groups_keep_their_place_and_order() -> None:
    old = {"epochs": 1, "colours": {"jitter": 0.4, "grey": 0.2, "blur": 0.1}, "distill": {"hidden": 2.0}, "hidden": 3}
    new = {
        "epochs": 1,
        "color_augmentation": {"jitter": 0.4, "grayscale_p": 0.2, "blur_p": 0.1},
        "distill": {"hidden": 2.0},
        "hidden_dim": 3,
    }
    assert list(upgrade_settings(old, "pretraining").items()) == list(new.items())
    fpn = {"model": {"neck": {"share": 0.5}, "head": {"share": 0.5}}}
    assert upgrade_settings(fpn, "segmentation") == {"model": {"neck": {"width_ratio": 0.5}, "head": {"share": 0.5}}}
    assert upgrade_settings({"supervise": "centre", "geometry": "centre"}, "tracking") == {
        "box_loss_cell": "center",
        "geometry": "centre",
    }


def test_the_configuration_outside_the_recipe_is_renamed_by_domain_too() -> None:
    config = {"recipe": {"health": {"bank": 9}}, "health": "digits", "data": "digits"}
    assert upgrade_config(config, "pretraining") == {
        "recipe": {"knn_monitor": {"bank_size": 9}},
        "knn_data": "digits",
        "data": "digits",
    }
    assert upgrade_config(config, "tracking") == config


@pytest.mark.parametrize(
    ("domain", "recipe"),
    [("tracking", TrackingRecipe), ("pretraining", MocoRecipe), ("segmentation", SegmentationRecipe)],
)
def test_a_new_name_is_one_that_a_recipe_has(domain: str, recipe: type[Any]) -> None:
    for new in RENAMED_SETTINGS[domain].values():
        first = new.partition(".")[0]
        assert first in recipe.model_fields or new == "mask_patch_size", f"{new} is no setting of {recipe.__name__}"
    for old in RENAMED_SETTINGS[domain]:
        if "." not in old:
            assert old not in recipe.model_fields, f"{old} is still a setting of {recipe.__name__}"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("trackers", "loggers"),
        ("eliminate", "ce"),
        ("eliminate.keep", "ce.keep_ratio"),
        ("eliminate.begin", "ce.begin"),
        ("colours.grey", "color_augmentation.grayscale_p"),
        ("health.k", "knn_monitor.k"),
        ("taps", "out_indices"),
        ("optimizer.lr", None),
        ("nowhere", None),
    ],
)
def test_the_new_name_of_a_setting_is_found(old: str, new: str | None) -> None:
    assert find_new_name(old) == new
