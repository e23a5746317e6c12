"""The settings in an OSTrack file are used, and a request for something else is a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from foundation.errors import UserError
from tests.tracking.ostrack_file import CE_NAME, PLAIN_NAME, save_ostrack_file
from tests.tracking.test_ostrack_checkpoint import made_up
from tracking.ostrack_checkpoint import OstrackModel, load_ostrack_model
from tracking.ostrack_settings import TrackerSettings, find_matching_protocol, read_stated_settings

SIZES = {"output_sz": {"template": 128, "search": 256}, "search_area_factor": {"template": 2.0, "search": 4.0}}


def load(path: Path, protocol: str | None = None, **asked: Any) -> OstrackModel:
    return load_ostrack_model(path, "vit_pico", protocol, TrackerSettings(**asked))


def save(folder: Path, **settings: Any) -> Path:
    return save_ostrack_file(folder / "OSTrack_ep0300.pth.tar", made_up(128, 256), **settings)


def test_the_files_own_settings_are_used(tmp_path: Path) -> None:
    """Today's fault: a tracker that was trained with elimination was tracked without it, and nobody said so."""
    factors = {"template": 2.5, "search": 4.5}
    model, recipe, report = load(save(tmp_path, **{**SIZES, "search_area_factor": factors}, config_name=CE_NAME))
    assert model.candidate_elimination is not None
    assert (recipe.use_ce, recipe.ce.blocks, recipe.ce.keep_ratio) == (True, [3, 6, 9], 0.7)
    assert recipe.crop_sizes() == (128, 256, 2.5, 4.5, "ostrack")
    said = "template_size=128, search_size=256, template_factor=2.5, search_factor=4.5, ce=true"
    assert f"the file's own settings are used: {said} (config_name {CE_NAME})" in report.notes
    assert not any("assumed" in note for note in report.notes[1:])
    plain = load(save(tmp_path, **SIZES, config_name=PLAIN_NAME))
    assert (plain.recipe.use_ce, find_matching_protocol(plain.recipe)) == (False, "ostrack256")
    assert find_matching_protocol(recipe) is None


@pytest.mark.parametrize(
    ("config_name", "protocol", "asked", "said"),
    [
        (CE_NAME, None, {"ce": False}, r"says ce=true \(config_name vitb_256_mae_ce\w+\), and --set asks for ce=false"),
        (CE_NAME, "ostrack256", {}, "says ce=true .* the protocol ostrack256 asks for ce=false"),
        (PLAIN_NAME, None, {"ce": True}, "says ce=false .* asks for ce=true"),
        (PLAIN_NAME, "ostrack256_ce", {}, "says ce=false .* the protocol ostrack256_ce asks for ce=true"),
        (CE_NAME, "ostrack384", {}, "says template_size=128 .* asks for template_size=192"),
        (CE_NAME, None, {"template_size": 192}, "says template_size=128 .* asks for template_size=192"),
        (CE_NAME, None, {"search_size": 384}, "says search_size=256 .* asks for search_size=384"),
        (CE_NAME, None, {"template_factor": 3.0}, "says template_factor=2 .* asks for template_factor=3"),
        (CE_NAME, None, {"search_factor": 5.0}, "says search_factor=4 .* asks for search_factor=5"),
    ],
)
def test_a_contradiction_is_a_sentence(
    tmp_path: Path, config_name: str, protocol: str | None, asked: dict[str, Any], said: str
) -> None:
    path = save(tmp_path, **SIZES, config_name=config_name)
    with pytest.raises(UserError, match=said):
        load(path, protocol, **asked)


def test_asking_for_what_the_file_says_is_no_contradiction(tmp_path: Path) -> None:
    path = save(tmp_path, **SIZES, config_name=CE_NAME)
    assert load(path, "ostrack256_ce", ce=True, search_factor=4.0).recipe.use_ce


def test_what_nobody_says_is_assumed_and_noted(tmp_path: Path) -> None:
    """The sizes follow from the weights; that of 384 px searches wider; elimination cannot be seen in the weights."""
    torch.save({"net": made_up(128, 256)}, tmp_path / "a.pth")
    bare = load(tmp_path / "a.pth")
    assert bare.recipe.crop_sizes() == (128, 256, 2.0, 4.0, "ostrack") and not bare.recipe.use_ce
    assert "neither the file nor the command says template_factor=2, search_factor=4, ce=false; this was assumed" in (
        bare.report.notes
    )
    assert any("--set ce=true, or bench track --protocol ostrack256_ce" in note for note in bare.report.notes)
    torch.save({"net": made_up(192, 384)}, tmp_path / "b.pth")
    assert load(tmp_path / "b.pth").recipe.crop_sizes() == (192, 384, 2.0, 5.0, "ostrack")
    asked = load(tmp_path / "a.pth", ce=True, template_factor=2.0, search_factor=5.0)
    assert asked.recipe.use_ce and asked.recipe.search_factor == 5.0
    assert not any("assumed" in note for note in asked.report.notes[1:])
    own = load(save(tmp_path, **SIZES, config_name="my_own_tracker"))
    assert any("says ce=false; this was assumed" in note for note in own.report.notes), "a name that tells nothing"


def test_settings_are_anybodys_data() -> None:
    """Plain data do as well as OSTrack's object, and strange ones are not used."""
    assert read_stated_settings({"settings": {**SIZES, "config_name": CE_NAME}}).settings == (128, 256, 2.0, 4.0, True)
    for odd in (None, 256, {"template": 128}, {"template": "128", "search": 256}, {"template": -1, "search": 256},
                {"template": float("nan"), "search": 2}, {"template": True, "search": 256}):  # fmt: skip
        stated = read_stated_settings({"settings": {"output_sz": odd}})
        assert stated.settings == TrackerSettings()
        assert "settings.output_sz of the file is of a form that bench does not know" in stated.notes[0]
    for content in (None, [], {"settings": 3}, {"settings": {"config_name": 7}}):
        assert read_stated_settings(content) == (TrackerSettings(), "", ())


@pytest.mark.parametrize(
    ("name", "ce"),
    [("vitb_256_mae_CE_32x4", True), ("ViTB_256-CE-ep300", True), ("VITB_256_mae", False), ("vitb_256_place", False)],
)
def test_elimination_is_found_in_any_spelling_of_the_name(name: str, ce: bool) -> None:
    """A name that begins as the published ones and has CE in capitals was read as "without elimination"."""
    assert read_stated_settings({"settings": {"config_name": name}}).settings.ce is ce


def test_a_head_of_another_width_is_taken_from_the_file(tmp_path: Path) -> None:
    torch.save({"net": made_up(128, 256, channels=64)}, tmp_path / "a.pth")
    assert load(tmp_path / "a.pth").recipe.head_channels == 64
