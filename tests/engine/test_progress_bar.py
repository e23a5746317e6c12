"""What a loop says of how far it is."""

from __future__ import annotations

import pytest

from engine import progress_bar as module
from engine.progress_bar import ProgressBar


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_plain_lines_say_the_rate_and_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    with ProgressBar("walk", "frames", 100) as counter:
        for _ in range(40):
            clock.now += 0.5
            counter.advance("confidence 0.90")
    assert capsys.readouterr().err == "walk: 31/100 frames, 2 a second, 34 s left, confidence 0.90\n"


def test_without_a_total_and_beyond_it_no_time_is_made_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for total in (None, 10):
        clock = Clock()
        monkeypatch.setattr(module, "time", clock)
        with ProgressBar("camera0", "frames", total) as counter:
            for _ in range(20):
                clock.now += 1
                counter.advance()
        said = capsys.readouterr().err
        assert "16" in said and "left" not in said


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with pytest.raises(ValueError, match="of the loop"), ProgressBar("walk", "frames", 3) as counter:
        counter.advance("confidence 0.90")
        counter.log_message("the target [may] be lost")
        assert counter._bar is not None and counter._bar.tasks[0].completed == 1
        raise ValueError("of the loop")
    assert counter._bar is None and "the target [may] be lost" in capsys.readouterr().err
