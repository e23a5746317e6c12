from __future__ import annotations

from foundation.suggest import did_you_mean


def test_nearest_first() -> None:
    assert did_you_mean("vit_nan", ["vit_nano", "resnet50"]) == "; did you mean vit_nano?"


def test_start_of_a_long_name_counts() -> None:
    known = ["vit_tiny_patch16_224", "resnet50", "beit_base"]
    assert "vit_tiny_patch16_224" in did_you_mean("vit_tinyy", known)


def test_nothing_near_gives_the_hint_or_the_choices() -> None:
    assert did_you_mean("zzz", ["digits"], hint="see: bench list tasks") == "; see: bench list tasks"
    assert did_you_mean("zzz", ["digits"]) == " (known: digits)"
