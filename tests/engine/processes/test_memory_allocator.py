"""Which allocator is found, when a command starts again with it, and that nothing but the memory changes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from benchmarks import doctor
from benchmarks.cli import main as command_line
from engine.processes import memory_allocator
from engine.processes.memory_allocator import find_loaded_allocator, find_page_keeper, make_restart_environment
from foundation.environment import NO_RESTART_VAR
from foundation.errors import UserError
from tests.conftest import BENCH, ROOT, run_bench
from tests.limits import HANG_SECONDS

MODULE = (sys.executable, "-m", "litevit_bench")
SAYS = "bench: started with lib"

needs_keeper = pytest.mark.skipif(find_page_keeper() is None, reason="no jemalloc or tcmalloc on this machine")


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Python installation whose folder of libraries has jemalloc; nothing says that this process may not restart."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.delenv(NO_RESTART_VAR.name)
    library = tmp_path / "lib" / "libjemalloc.so.2"
    library.parent.mkdir()
    library.touch()
    return library


@pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD and glibc are Linux's")
def test_variables_of_the_second_start(prefix: Path) -> None:
    found = make_restart_environment("cpu", {"PATH": "/bin", "LD_PRELOAD": "/lib/other.so"})
    assert found == {
        "PATH": "/bin",
        "LD_PRELOAD": f"{prefix} /lib/other.so",
        "MALLOC_CONF": "dirty_decay_ms:-1,muzzy_decay_ms:-1,narenas:1",
        "BENCH_NO_RESTART": "1",
    }
    own = make_restart_environment("cpu", {"MALLOC_CONF": "narenas:2"})
    assert own is not None and own["MALLOC_CONF"] == "narenas:2", "what the user says counts"


@needs_keeper
def test_only_what_starts_is_started(tmp_path: Path) -> None:
    """An empty file cannot be loaded; the loader says so, and a worse one would end each program."""
    found = find_page_keeper()
    assert found is not None
    assert memory_allocator.can_start({**os.environ, "LD_PRELOAD": str(found.library)})
    (tmp_path / "libjemalloc.so").touch()
    assert not memory_allocator.can_start({**os.environ, "LD_PRELOAD": str(tmp_path / "libjemalloc.so")})


@pytest.mark.parametrize(
    ("device", "variables"),
    [
        ("cuda", {}),
        ("mps", {}),
        ("cpu", {"LD_PRELOAD": "/usr/lib/libtcmalloc_minimal.so.4"}),
        ("cpu", {"LD_PRELOAD": "/usr/lib/libmimalloc.so"}),
    ],
)
def test_no_second_start(device: str, variables: dict[str, str], prefix: Path) -> None:
    assert make_restart_environment(device, variables) is None


def test_the_mark_and_a_wrong_one(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_NO_RESTART", "1")
    assert make_restart_environment("cpu", {}) is None
    monkeypatch.setenv("BENCH_NO_RESTART", "never")
    with pytest.raises(UserError, match=r"^\$BENCH_NO_RESTART is 'never'; set it to 1 or 0$"):
        make_restart_environment("cpu", {})


def test_a_library_that_no_list_can_name_is_not_taken(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spaced = prefix.parent.parent / "my python"
    prefix.parent.rename(spaced)
    (spaced / "lib").mkdir()
    (spaced / prefix.name).rename(spaced / "lib" / prefix.name)
    monkeypatch.setattr(sys, "prefix", str(spaced))
    found = find_page_keeper()
    assert found is None or spaced not in found.library.parents


def test_a_program_that_calls_the_command_line_stays(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "restart_process", lambda _: pytest.fail("replaced the caller's process"))
    assert command_line.main(["run", "no_such_task", "--backbone", "vit_pico", "--device", "cpu"]) == 2


def test_doctor_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_page_keeper", lambda: None)
    monkeypatch.setattr(doctor, "find_loaded_allocator", lambda: None)
    monkeypatch.setattr(sys, "platform", "linux")
    (found,) = doctor._check_memory("cpu")
    assert found.state == "note" and "libjemalloc2" in found.fix and "litevit-bench[ray]" in found.fix
    assert not list(doctor._check_memory("cuda"))


def test_this_process_was_not_started_again() -> None:
    assert memory_allocator._KNOWN_ALLOCATORS.search(os.environ.get("LD_PRELOAD", "")) or not find_loaded_allocator()


def test_musl_has_no_keeper(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> str:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr("os.confstr", refuse, raising=False)
    assert find_page_keeper() is None


def run_command(
    folder: Path, *words: str, stdin: IO[str] | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "BENCH_NO_RESTART"}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **variables}
    return subprocess.run(
        words,
        cwd=folder,
        env=environment,
        stdin=stdin,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )


@needs_keeper
def test_numbers_are_the_same_and_the_record_names_the_allocator(tmp_path: Path) -> None:
    words = ("run", "digits", "--backbone", "vit_pico", "--protocol", "knn", "--device", "cpu", "--fresh")
    kept = run_command(tmp_path, *MODULE, *words, "--out", "kept")
    plain = run_bench(*words, "--out", "plain", cwd=tmp_path, OMP_NUM_THREADS="1")  # with the system's allocator
    assert (kept.returncode, plain.returncode) == (0, 0), kept.stderr + plain.stderr
    assert kept.stderr.count(SAYS) == 1 and SAYS not in plain.stderr
    ((new, new_folder), (old, old_folder)) = (_read_record(tmp_path / name) for name in ("kept", "plain"))
    keeper = find_page_keeper()
    assert keeper is not None
    assert new["environment"]["memory_allocator"] == keeper.library.name
    assert old["environment"]["memory_allocator"] is None
    assert (new["run_id"], new["result"]) == (old["run_id"], old["result"])
    assert new["environment"]["command"] == ["bench", *words, "--out", "kept"], "the same arguments"
    same = [path.name for path in new_folder.glob("*item*") if path.is_file()]
    assert same, "outcomes of single images"
    assert all((new_folder / name).read_bytes() == (old_folder / name).read_bytes() for name in same)


def _read_record(out: Path) -> tuple[dict[str, dict[str, object]], Path]:
    (path,) = out.rglob("record.json")
    return json.loads(path.read_text()), path.parent


@needs_keeper
@pytest.mark.parametrize("command", [(BENCH,), MODULE], ids=["bench", "python -m"])
def test_exit_code_and_folder_stay(command: tuple[str, ...], tmp_path: Path) -> None:
    done = run_command(tmp_path, *command, "run", "no_such_task", "--backbone", "vit_pico", "--device", "cpu")
    first, second = done.stderr.splitlines()
    assert done.returncode == 2
    assert first.startswith(SAYS) and "no_such_task" in second


def test_a_program_from_stdin_is_not_lost(tmp_path: Path) -> None:
    words = ["bench", "run", "no_such_task", "--backbone", "vit_pico", "--device", "cpu"]
    program = f"import sys; sys.argv = {words}; from benchmarks.cli.main import main; sys.exit(main())"
    with (tmp_path / "program").open("w+") as stdin:
        stdin.write(program)
        stdin.seek(0)
        done = run_command(tmp_path, sys.executable, "-", stdin=stdin)
    assert done.returncode == 2 and "no_such_task" in done.stderr


@needs_keeper
@pytest.mark.soak
def test_the_process_that_a_program_started_is_the_one_that_it_can_stop(tmp_path: Path) -> None:
    words = ("run", "digits", "--backbone", "vit_pico", "--device", "cpu", "--set", "epochs=100000")
    environment = {name: value for name, value in os.environ.items() if name != "BENCH_NO_RESTART"}
    with subprocess.Popen(
        [BENCH, *words], cwd=tmp_path, env=environment | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(SAYS)
        for line in process.stderr:  # the first line of the new start: its handlers are set
            assert line
            break
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 128 + signal.SIGTERM
