"""The table of families in the docs says what bench does, and every family in it was tried."""

from pathlib import Path
from typing import Any

import pytest

from backbones.checkpoints.fit_tensors import FittedTensors
from benchmarks.families.families import FAMILIES, Family
from benchmarks.families.table import BEGIN, END, format_table, format_trial, read_table, replace_table
from benchmarks.families.trials import TRIALS, Trial, try_backbone
from foundation.errors import UserError

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "backbones.md"
RETRIED = [family.backbone for family in FAMILIES[::2]]
"""Every second family is tried again by the soak test: it takes minutes."""


def committed() -> dict[str, dict[str, str]]:
    return read_table(PAGE.read_text(encoding="utf-8"))


def test_the_page_has_a_row_for_every_family() -> None:
    assert list(committed()) == [family.backbone for family in FAMILIES]
    assert len({family.name for family in FAMILIES}) == len(FAMILIES) >= 40
    assert all(set(row) == set(TRIALS) for row in committed().values())


def test_most_families_work_somewhere_and_plain_vits_everywhere() -> None:
    rows = committed()
    for name in ("vit_tiny", "timm/vit_tiny_patch16_224", "timm/deit_tiny_patch16_224"):
        assert set(rows[name].values()) == {"yes"}
    assert sum(row["classification"].startswith("yes") for row in rows.values()) >= 0.9 * len(rows)


def retry(backbone: str, *kinds: str) -> dict[str, str]:
    trials = try_backbone(backbone, kinds or None)
    return {kind: format_trial(trial) for kind, trial in trials.items()}


@pytest.mark.soak
@pytest.mark.parametrize("backbone", RETRIED)
def test_the_page_says_what_a_trial_finds(backbone: str) -> None:
    assert len(RETRIED) >= 25
    assert retry(backbone) == committed()[backbone]


def test_a_trial_of_a_small_backbone() -> None:
    assert retry("vit_nano", "tracking") == {"tracking": "yes"}


def test_a_trial_finds_weights_that_do_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    from backbones.checkpoints import load_weights

    real = load_weights.fit_tensors

    def lose_the_last_mlp(*arguments: Any, **more: Any) -> FittedTensors:
        fitted = real(*arguments, **more)
        name = "blocks.3.mlp.fc2.weight"
        return fitted._replace(tensors={**fitted.tensors, name: 0 * fitted.tensors[name]})

    # a loader that reports a complete load
    monkeypatch.setattr(load_weights, "fit_tensors", lose_the_last_mlp)
    outcome = try_backbone("vit_nano", ["classification"])["classification"]
    assert not outcome.works and "other features" in outcome.reason


def test_a_crash_is_told_from_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("benchmarks.families.trials.build_tracker_model", crash)
    assert try_backbone("vit_nano", ["tracking"])["tracking"] == Trial(
        False, reason="ZeroDivisionError: by zero", crashed=True
    )
    unknown = try_backbone("vit_gone")
    assert not any(trial.works or trial.crashed for trial in unknown.values())


def test_format_and_read_are_inverse() -> None:
    yes, hierarchical = Trial(True), Trial(False, reason="SwinTransformer cannot be split | at all")
    outcomes = {
        Family("A", "a"): {**dict.fromkeys(TRIALS, yes), "tracking": Trial(True, "drop_path=0")},
        Family("B", "timm/b"): {**dict.fromkeys(TRIALS, yes), "tracking": hierarchical},
        Family("C", "timm/c"): dict.fromkeys(TRIALS, Trial(False, reason="Hiera cannot be split | at all")),
    }
    page = replace_table(f"before\n{BEGIN}\n{END}\nafter\n", format_table(outcomes))
    assert page.startswith("before\n") and page.endswith("\nafter\n")
    assert page.count("cannot be split") == 1, "equal reasons share a number"
    rows = read_table(page)
    assert rows["a"] == {**dict.fromkeys(TRIALS, "yes"), "tracking": "yes, with `drop_path=0`"}
    assert rows["timm/b"]["tracking"] == rows["timm/c"]["classification"] == "the model cannot be split / at all"
    assert replace_table(page, format_table(outcomes)) == page
    with pytest.raises(UserError, match="no place for the table"):
        replace_table("a page", "")
