"""Files beside records that are no files, made up or damaged: each costs what it would have held, and no more."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.cli.main import main
from foundation.errors import RecordError
from foundation.storage.fault_isolation import convert_faults
from results.records.store import read_record
from results.statistics.item_files import read_areas, read_item_table
from results.statistics.statistics_cache import load_statistics, statistics_cache_dir
from tests.foundation.test_display_text import DANGEROUS
from tests.results.make import make_record
from tests.results.records.hostile import NO_FILES, link_to, make_sparse, write_bytes, write_sound_runs

DEEP = b'{"a":' * 5_000

DAMAGED: dict[str, Callable[[Path], object]] = {
    **NO_FILES,
    "deep": write_bytes(DEEP),
    "no text": write_bytes(b"\xff\xfe\x00" * 1000),
    "NUL": write_bytes(b"\0" * 100_000),
    "long line": write_bytes(b"a" * 3_000_000),
    "empty": write_bytes(b""),
}
"""What a file of a store may be instead of what bench wrote there."""

PLACES = [
    "items.csv",
    "predictions.csv",
    "pictures/pictures.json",
    "pictures/a.png",
    "logs/1/vis_data/events.1",
    "tracked/a.txt",
]
"""Files in the folder of a run."""

STORE_PLACES = ["timings/a-32x32-0.json", "ledger/0-0.jsonl", "analysis/cka-0123456789abcdef/analysis.json"]
"""Files of a store outside of the folders of runs."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sound") / "runs"
    write_sound_runs(root)
    return root


def put(path: Path, make: Callable[[Path], object]) -> None:
    """Replace a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    make(path)


@pytest.mark.parametrize("kind", DAMAGED)
def test_commands_go_on_whatever_lies_in_a_store(
    kind: str, sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "runs"
    shutil.copytree(sound, root)
    folders = sorted((root / "digits").iterdir())
    for place in PLACES:
        put(folders[0] / place, DAMAGED[kind])
    manifest = {"pictures": [{"file": "a.png", "kind": "overlay", "title": "a"}]}
    (folders[1] / "pictures").mkdir()
    (folders[1] / "pictures" / "pictures.json").write_text(json.dumps(manifest))
    put(folders[1] / "pictures" / "a.png", DAMAGED[kind])
    for place in STORE_PLACES:
        put(root / place, DAMAGED[kind])
    shown = []
    for words, codes in (
        (("table", "--runs", root), (0,)),
        (("table", "--runs", root, "--html", tmp_path / "page"), (0,)),
        (("list", "runs", "--runs", root), (0,)),
        (("show", "run", folders[0]), (0,)),
        (("show", "run", folders[1]), (0,)),
        (("verify", root), (1,)),
        (("items", "--runs", root, "--out", tmp_path / "items.csv"), (0,)),
        (("compare", folders[1], folders[2]), (0,)),
        (("compare", folders[0], folders[2]), (2,)),
        (("merge", root, "--out", tmp_path / "all"), (0, 2)),
        (("pack", root, "-o", tmp_path / "all.tar"), (0, 2)),
    ):
        if kind == "sparse" and words[0] in ("merge", "pack"):
            continue  # all files of a run travel, weights of gigabytes too
        assert main([*map(str, words)]) in codes, (words, capsys.readouterr())
        out, err = capsys.readouterr()
        assert not set(DANGEROUS) & set(out + err)
        assert "Traceback" not in out + err and "unexpected" not in out + err, (words, out, err)
        assert words[0] in ("merge", "pack") or all(len(line) < 2_000 for line in err.splitlines())
        shown.append(out + err)
    assert "sound_a" in shown[0].replace("\\", "") and "sound_b" in shown[0].replace("\\", "")
    assert "cannot read the timing" in shown[0]
    assert "items.csv" in shown[6], "the run without a table is named"


def test_a_ledger_that_is_a_pipe_is_no_place_to_append_to(tmp_path: Path) -> None:
    from foundation.errors import UserError
    from results.records.ledger import append_event, read_ledgers
    from tests.results.records.test_ledger import make_event  # type: ignore[attr-defined]

    append_event(tmp_path, make_event())
    (path,) = (tmp_path / "ledger").glob("*.jsonl")
    put(path, NO_FILES["pipe"])
    with pytest.raises(UserError, match=r"cannot append to the ledger .*it is not a regular file"):
        append_event(tmp_path, make_event())
    with pytest.raises(UserError, match=r"cannot read the ledger .*it is not a regular file"):
        read_ledgers(tmp_path)


def write_areas(folder: Path, content: bytes) -> Any:
    """A record whose details name a file of areas with this content."""
    (folder / "areas.npy").write_bytes(content)
    result = make_record().model_dump()["result"]
    result["details"] = {"areas": {"file": "areas.npy", "sha256": hashlib.sha256(content).hexdigest()}}
    return make_record(result=result)


def dump_array(array: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


HEAD = b"\x93NUMPY\x01\x00v\x00"
SOUND_AREAS = dump_array(np.ones((2, 3, 4), np.int64))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (SOUND_AREAS.replace(b"(2, 3, 4)", b"(9, 9, 9)"), "its head says 5,832 bytes of numbers, and 192 follow"),
        (SOUND_AREAS.replace(b"(2, 3, 4), }  ", b"(2, 3, 4**9)}"), "does not hold areas"),
        (
            HEAD + b"{'descr': '<i8', 'fortran_order': False, 'shape': (999999999999, 3, 150), }".ljust(117) + b"\n",
            "its head says 3,599,999,999,996,400 bytes",
        ),
        (dump_array(np.array([{}, []], object), allow_pickle=True), "does not hold areas"),
        (dump_array(np.ones((2, 3, 4), np.float32)), "holds float32"),
        (SOUND_AREAS[:60], "does not hold areas"),
        (b"PK\x03\x04" + bytes(100), "does not hold areas"),
        (b"", "does not hold areas"),
    ],
)  # fmt: skip
def test_a_made_up_array_reserves_no_memory_and_runs_no_code(tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(RecordError, match=says):
        read_areas(tmp_path, write_areas(tmp_path, content), "areas", 2)
    assert read_areas(tmp_path, write_areas(tmp_path, SOUND_AREAS), "areas", 2).shape == (2, 3, 4)


@pytest.mark.parametrize("name", ["../areas.npy", "/etc/passwd", "a\0b", "", ".", "a/b", {"a": 1}])
def test_a_file_of_areas_lies_in_the_folder(tmp_path: Path, name: Any) -> None:
    record = write_areas(tmp_path, SOUND_AREAS)
    assert record.result is not None
    record.result.details["areas"]["file"] = name
    with pytest.raises(RecordError, match=r"names the per-item file|cannot read the per-item file"):
        read_areas(tmp_path, record, "areas", 2)


def test_a_table_of_one_long_cell_is_refused(tmp_path: Path) -> None:
    content = b"name,a\nx," + b"1" * (csv.field_size_limit() + 10)
    (tmp_path / "items.csv").write_bytes(content)
    result = make_record().model_dump()["result"]
    result["items"] |= {"file": "items.csv", "sha256": hashlib.sha256(content).hexdigest()}
    with pytest.raises(RecordError, match="field larger than field limit"):
        read_item_table(tmp_path, make_record(result=result))


@pytest.mark.parametrize("kind", ["pipe", "device", "deep", "no text", "sparse"])
def test_the_cache_is_no_trap_either(kind: str) -> None:
    put(statistics_cache_dir() / "key.json", DAMAGED[kind])
    assert load_statistics("key") is None


def test_a_linked_record_of_a_device_is_one_sentence(tmp_path: Path) -> None:
    link_to("/dev/zero")(tmp_path / "record.json")
    with pytest.raises(RecordError, match="it is not a regular file"):
        read_record(tmp_path)
    put(tmp_path / "record.json", make_sparse)
    with pytest.raises(RecordError, match=r"it has 10,000,000,000 bytes, and at most 32,000,000 are read"):
        read_record(tmp_path)


def test_a_long_message_of_a_library_is_cut() -> None:
    with pytest.raises(RecordError) as caught, convert_faults("cannot read x"):
        raise KeyError("\x1b" + "y" * 10_000)
    assert str(caught.value).startswith("cannot read x: unexpected KeyError: ") and len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


def test_folders_deeper_than_a_path_may_be_are_named(
    sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "runs"
    shutil.copytree(sound, root)
    monkeypatch.chdir(root)
    for _ in range(30):
        Path("d" * 200).mkdir()
        monkeypatch.chdir("d" * 200)
    monkeypatch.chdir(tmp_path)
    for words, code in ((("table", "--runs", root), 0), (("list", "runs", "--runs", root), 0), (("verify", root), 1)):
        assert main([*map(str, words)]) == code
        out, err = capsys.readouterr()
        assert "sound_a" in (out + err).replace("\\", "") and "unexpected" not in out + err
        assert "cannot list the runs in" in out + err
