"""An option under its old name is refused with the new one."""

from __future__ import annotations

import pytest

from benchmarks.cli.main import main

PRETRAIN = ("pretrain", "mae", "--backbone", "vit_nano", "--data", "digits")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("track", "walk.mp4", "--low", "0.4"), "--low is called --lost-threshold now"),
        (("track", "walk.mp4", "--low=0.4"), "--low is called --lost-threshold now"),
        ((*PRETRAIN, "--health", "digits"), "--health is called --knn-data now"),
        ((*PRETRAIN, "--healthy", "digits"), "unrecognized arguments: --healthy digits"),
    ],
)
def test_an_old_name_is_answered_with_the_new_one(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert said in captured.err and captured.err.count("\n") == 1 and not captured.out


@pytest.mark.parametrize(("verb", "option"), [("track", "--lost-threshold"), ("pretrain", "--knn-data")])
def test_the_new_names_are_offered(verb: str, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    assert option in capsys.readouterr().out
