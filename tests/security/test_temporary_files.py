"""What is not finished is private, is never written through a link, and gets the usual mode with its name."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks.transfer.locked_scratch import open_locked_scratch
from deployment.export_folder import write_export
from engine.training_checks.checkpoint_digests import CheckpointOwner, checkpoint_writer
from foundation.environment import get_cache_dir
from foundation.errors import StorageError, UserError
from foundation.files import _require_no_device, atomic_writer, write_atomic
from foundation.network.telemetry import COMPILER_CACHE_VARIABLE, TELEMETRY_SWITCHES, switch_telemetry_off
from results.records.ledger import LedgerEvent, append_event
from results.records.store import lock_folder


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def get_mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_private_until_it_has_its_name(tmp_path: Path) -> None:
    with atomic_writer(tmp_path / "record.json") as file:
        file.write(b"1")
        (half,) = tmp_path.iterdir()
        assert get_mode(half) == 0o600
        assert half.name != ".record.json.tmp", "a name that can be foreseen"
    assert get_mode(tmp_path / "record.json") == 0o644
    os.umask(0o077)
    write_atomic(tmp_path / "private.json", "1")
    assert get_mode(tmp_path / "private.json") == 0o600


def test_a_link_at_the_target_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "record.json").symlink_to(victim)
    write_atomic(tmp_path / "record.json", "1")
    assert victim.read_text() == "mine"
    assert not (tmp_path / "record.json").is_symlink()


def test_a_pipe_or_device_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    """As root, ``--out /dev/null`` put a file in the place of the device, for all of the machine."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for path in (tmp_path / "pipe", tmp_path / "link"):
        with pytest.raises(StorageError, match="is a device or a pipe, and only files are written"):
            write_atomic(path, "1")
    assert stat.S_ISFIFO((tmp_path / "pipe").lstat().st_mode) and (tmp_path / "link").is_symlink()
    with pytest.raises(StorageError, match="cannot write /dev/stdout: it is a device or a pipe"):
        _require_no_device(Path("/dev/stdout"))  # by itself: if this failed, the machine would lose it


def test_the_ledger_is_not_continued_through_a_link(tmp_path: Path) -> None:
    event = LedgerEvent(
        event="started", run_id="1", folder="a", task="a", protocol="a", seed=0, record_sha256=None, items_sha256=None
    )
    append_event(tmp_path, event)
    (chain,) = (tmp_path / "ledger").glob("*.jsonl")
    victim = chain.rename(tmp_path / "victim")
    before = victim.read_bytes()
    chain.symlink_to(victim)
    with pytest.raises(UserError, match=f"{chain.name} in it is a link"):
        append_event(tmp_path, event)
    assert victim.read_bytes() == before


def test_a_checkpoint_is_not_written_through_a_link_that_waits_for_it(tmp_path: Path) -> None:
    """Its temporary name can be foreseen, as mmengine asks for a name and not for a file."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / ".step_1.pth.tmp").symlink_to(victim)
    with checkpoint_writer(folder / "step_1.pth", CheckpointOwner("", 0)) as partial:
        torch.save({"x": torch.zeros(3)}, partial)
    assert victim.read_text() == "mine"
    assert (folder / "step_1.pth").is_file() and not (folder / "step_1.pth").is_symlink()


@pytest.mark.parametrize("name", [".lock", ".work.lock"])
def test_locks_are_not_opened_through_links(name: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / name).symlink_to(victim)
    with pytest.raises((OSError, UserError)):
        if name == ".lock":
            with lock_folder(tmp_path):
                pass
        else:
            with open_locked_scratch(tmp_path / ".work", is_busy="busy", cannot_write="{error}"):
                pass
    assert victim.read_text() == "mine"


def test_an_export_has_the_usual_modes(tmp_path: Path) -> None:
    class Manifest:
        def model_dump_json(self, indent: int) -> str:
            (half,) = tmp_path.iterdir()
            assert get_mode(half) == 0o700
            return "{}"

    write_export(tmp_path / "onnx-f32", {"a.onnx": b"1"}, Manifest())  # type: ignore[arg-type]
    assert get_mode(tmp_path / "onnx-f32") == 0o755
    assert get_mode(tmp_path / "onnx-f32" / "a.onnx") == 0o644


def test_compiled_code_is_kept_in_the_own_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's own default is a folder of /tmp whose name everybody knows."""
    for name in (*TELEMETRY_SWITCHES, COMPILER_CACHE_VARIABLE):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    switch_telemetry_off()
    assert Path(os.environ[COMPILER_CACHE_VARIABLE]).parent == get_cache_dir()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "0", "what the user has set stays"
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"


def test_compiled_code_is_kept_elsewhere_where_the_cache_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch makes that folder in every training, so a container without a home folder could train nothing."""
    monkeypatch.setenv(COMPILER_CACHE_VARIABLE, "")  # so that it is put back
    (tmp_path / "file").touch()
    (tmp_path / "torchinductor").mkdir()
    monkeypatch.setattr(os, "getuid", lambda: 12345)  # so that it is another user's
    for cache in (tmp_path / "file" / "cache", tmp_path):
        monkeypatch.delenv(COMPILER_CACHE_VARIABLE)
        monkeypatch.setenv("BENCH_CACHE", str(cache))
        switch_telemetry_off()
        assert os.environ.setdefault(COMPILER_CACHE_VARIABLE, "none") == "none", cache
