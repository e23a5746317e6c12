"""Fixtures that several test modules use."""

from __future__ import annotations

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is imported: workers share the cores, their threads would fight
    os.environ["OMP_NUM_THREADS"] = "1"

# a command that a test starts is not started a second time, which takes time and says so; its own tests do
os.environ["BENCH_NO_RESTART"] = "1"

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from foundation.environment import SHARED_DATA_VAR
from foundation.plural import format_count
from tests.bench_server import BenchServer
from tests.limits import HANG_SECONDS

# a shell starts its background jobs without the first, and nohup without the second; both are tested here
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

BENCH_SERVER = BenchServer()
NUM_SOAK_TESTS = pytest.StashKey[int]()  # how many soak tests this process left out

ROOT = Path(__file__).resolve().parent.parent
BENCH = str(Path(sys.executable).with_name("bench"))
"""The command, as it is installed beside this Python; ``PYTHONPATH`` says from which tree its rooms come."""

Bench = Callable[..., "subprocess.CompletedProcess[str]"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves soak tests out where no ``-m`` says which tests to take."""
    if config.option.markexpr:
        return
    soak = [item for item in items if item.get_closest_marker("soak")]
    if soak:
        items[:] = [item for item in items if not item.get_closest_marker("soak")]
        config.hook.pytest_deselected(items=soak)
    if hasattr(config, "workeroutput"):  # a worker of pytest-xdist prints nothing itself
        config.workeroutput["num_soak_tests"] = len(soak)
    config.stash[NUM_SOAK_TESTS] = len(soak)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Takes the count from a worker of pytest-xdist; each of them collects the whole suite."""
    node.config.stash[NUM_SOAK_TESTS] = getattr(node, "workeroutput", {}).get("num_soak_tests", 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says that soak tests were left out, above all to someone who named one."""
    if left_out := terminalreporter.config.stash.get(NUM_SOAK_TESTS, 0):
        terminalreporter.write_line(
            f"left out: {format_count(left_out, 'soak test')}; add -m soak to run them (`make soak` runs all of them)"
        )


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    """What a command line sets for its process (``--offline``, ``--device cpu``) ends with its test."""
    before = dict(os.environ)
    for number in (signal.SIGTERM, signal.SIGHUP):  # Ray leaves a handler that ends the process, as that of a worker
        signal.signal(number, signal.SIG_DFL)
    yield
    if os.environ != before:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(autouse=True)
def _own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees the user's data, weights or caches."""
    for name in ("BENCH_DATA", "BENCH_WEIGHTS", "BENCH_CARDS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def shared_data() -> Path:
    """The folder of shared real data; tests that use it are skipped by name where it is missing."""
    folder = SHARED_DATA_VAR.read_path() or ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no shared real data at {folder} (set $BENCH_SHARED_DATA)")
    return folder


@pytest.fixture
def deit_file(shared_data: Path) -> Path:
    """Real DeiT-Tiny weights (3 heads, ImageNet-1K)."""
    path = shared_data / "weights" / "deit_tiny_patch16_224_in1k.safetensors"
    if not path.is_file():
        pytest.skip(f"no {path}")
    return path


def run_bench(*words: str, cwd: Path | None = None, timeout: float = HANG_SECONDS, **env: str) -> Any:
    """``bench`` from this source tree, in a fork of a process that has loaded the libraries (tests.bench_server)."""
    return BENCH_SERVER.run(list(words), os.environ | {"PYTHONPATH": str(ROOT)} | env, cwd or Path.cwd(), timeout)


def pytest_unconfigure() -> None:
    """Ends the server of ``run_bench``."""
    BENCH_SERVER.close()


@pytest.fixture(scope="session")
def bench() -> Bench:
    """Runs a ``bench`` command line in a process and returns what it gave."""
    return run_bench


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fine-tuning of four epochs by the real command: the folder of runs."""
    return run_digits_tier(tmp_path_factory.mktemp("digits"), "short", "--set", "epochs=4")


def run_digits_tier(out: Path, tier: str, *others: str) -> Path:
    """Fine-tune digits by the real command, at a tier and with other words; return the folder of runs."""
    words = ("run", "digits", "--backbone", "vit_nano", "--tier", tier, *others, "--out", str(out))
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([BENCH, *words], env=env, capture_output=True, text=True, timeout=HANG_SECONDS)
    assert done.returncode == 0, done.stderr
    return out
