"""A process of several says why another one failed, and no record stays ``running``."""

from __future__ import annotations

import os
import signal

import pytest
from torch.distributed import HashStore

from engine.processes import failures
from engine.processes.failures import share_failures
from foundation.errors import BenchError, DataError

LOST = "[/build/gloo/gloo/transport/tcp/pair.cc:545] Read error: Connection reset by peer"


@pytest.fixture(autouse=True)
def _two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    store = HashStore()
    monkeypatch.setattr(failures, "_get_store", lambda: store)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")


def fail_in_second_process(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    with monkeypatch.context() as patch, pytest.raises(type(error)), share_failures():
        patch.setenv("RANK", "1")
        raise error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (DataError("image 3 is broken"), "^process 1 of this run failed: image 3 is broken$"),
        (ValueError("strange"), "^process 1 of this run failed: ValueError: strange$"),
    ],
)
def test_a_broken_connection_gives_the_reason_of_the_other_process(
    monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    fail_in_second_process(monkeypatch, error)
    # the record of the run is written between the two
    with pytest.raises(BenchError, match=message), share_failures(), share_failures():
        raise RuntimeError(LOST)


def test_a_process_that_was_killed_left_no_reason() -> None:
    with pytest.raises(BenchError, match="another process of this run is gone"), share_failures():
        raise RuntimeError(LOST)


def test_other_errors_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_in_second_process(monkeypatch, DataError("image 3 is broken"))
    with pytest.raises(RuntimeError, match="shape"), share_failures():
        raise RuntimeError("shape mismatch")
    monkeypatch.setenv("WORLD_SIZE", "1")
    with pytest.raises(RuntimeError, match="Connection reset"), share_failures():
        raise RuntimeError(LOST)


def test_the_signal_of_a_launcher_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    """``torchrun`` ends the processes that are left by SIGTERM, perhaps long before they would notice."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), share_failures():
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    assert signal.getsignal(signal.SIGTERM) == before
    fail_in_second_process(monkeypatch, DataError("image 3 is broken"))
    with pytest.raises(BenchError, match="process 1 of this run failed: image 3"), share_failures():
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
