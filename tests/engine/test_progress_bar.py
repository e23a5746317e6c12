"""What a loop says of how far it is."""

from __future__ import annotations

import pytest

from engine import progress_bar as module
from engine.progress_bar import ProgressBar
from engine.training_reports.progress_hook import ProgressHook


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


class Runner:
    """What the hook reads of mmengine's runner."""

    rank, max_iters, iter = 0, 40, 10


def test_a_resumed_training_says_its_iterations_and_newest_validation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock, runner = Clock(), Runner()
    monkeypatch.setattr(module, "time", clock)
    hook = ProgressHook("digits vit_nano seed 0", "accuracy/top1", "%")
    hook.before_train(runner)
    for runner.iter in range(10, 20):  # the ten before took no time of this attempt
        clock.now += 2
        hook.after_train_iter(runner, runner.iter)
        hook.after_val_epoch(runner, {"accuracy/top1": 97.2})
    hook.close()
    said = "digits vit_nano seed 0: 18/40 iterations, 44 s left, val top1 97.20 %\n"
    assert capsys.readouterr().err == said


def test_of_several_processes_the_first_one_speaks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "LOG_INTERVAL_SECONDS", -1.0)
    runner = Runner()
    runner.rank = 1
    hook = ProgressHook("digits", "accuracy/top1", "%")
    hook.before_train(runner)
    hook.after_train_iter(runner, 0)
    hook.after_val_epoch(runner, {})
    hook.after_train(runner)
    assert not capsys.readouterr().err


def test_the_bar_of_a_training_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    hook, runner = ProgressHook("digits", "accuracy/top1", "%"), Runner()
    hook.before_train(runner)
    hook.after_train_iter(runner, 0)
    hook.after_val_epoch(runner, {"accuracy/top1": 50.0})
    assert hook._bar is not None and hook._bar._bar is not None
    (task,) = hook._bar._bar.tasks
    assert (task.completed, task.total, task.fields["note"]) == (11, 40, "val top1 50.00 %")
    hook.after_train(runner)
    assert hook._bar is None
