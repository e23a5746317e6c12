from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from backbones.registry import get_card
from backbones.weight_sources.hub import HubFile, find_hub_file
from backbones.weights import locate_weights
from benchmarks.cli.main import main
from benchmarks.task_registry import TASKS
from benchmarks.transfer import offline_pack, requirements
from benchmarks.transfer.archives import ArchivedFile, write_archive
from engine.data.data_sources import DATA_SOURCES
from foundation.errors import NetworkError
from foundation.files import sha256_file

HUB_NAME = "timm/vit_tiny_patch16_224"
REPOSITORY = "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k"


class Machine:
    """A machine with folders of its own for weights, cards, the hub's cache and data."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self._monkeypatch = root, monkeypatch

    def enter(self) -> None:
        """Make its folders those of this process."""
        self._monkeypatch.setenv("BENCH_WEIGHTS", str(self.root / "weights"))
        self._monkeypatch.setenv("BENCH_CARDS", str(self.root / "cards"))
        self._monkeypatch.setenv("BENCH_DATA", str(self.root / "data"))
        self._monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(self.root / "hub"))


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_OFFLINE", "1")


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine that has weights by hand, weights of the hub and a data set."""
    machine = Machine(tmp_path / "source", monkeypatch)
    snapshot = machine.root / "hub" / f"models--{REPOSITORY.replace('/', '--')}" / "snapshots" / "f00d"
    for folder in (machine.root / "weights", snapshot, snapshot.parents[1] / "refs", snapshot.parents[1] / "blobs"):
        folder.mkdir(parents=True)
    (snapshot.parents[1] / "refs" / "main").write_text("f00d")
    (snapshot.parents[1] / "blobs" / "b10b").write_bytes(b"hub weights")
    (snapshot / "model.safetensors").symlink_to("../../blobs/b10b")
    (machine.root / "weights" / "mae_tiny.pth").write_bytes(b"weights by hand")
    (machine.root / "data" / "cifar-10-batches-py").mkdir(parents=True)
    (machine.root / "data" / "cifar-10-batches-py" / "batches.meta").write_bytes(b"meta")
    machine.enter()
    return machine


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path / "target", monkeypatch)


WORDS = ("--tasks", "cifar10", "digits", "lasot", "--backbones", "mae_tiny", HUB_NAME, "vit_nano")

LASOT_DATA = [
    "data of lasot",
    *(f"data of lasot, training on {name}" for name in ("got10k", "trackingnet", "coco")),
]


def read_files(machine: Machine) -> dict[str, bytes]:
    return {
        path.relative_to(machine.root).as_posix(): path.read_bytes()
        for path in machine.root.rglob("*")
        if path.is_file()
    }


def test_the_list_has_everything_with_sums(source: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get", "--list", *WORDS, "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    by_hand, hub = listed["weights"]
    assert by_hand["sha256"] == sha256_file(source.root / "weights" / "mae_tiny.pth")
    assert (hub["backbone"], hub["num_bytes"], hub["licence"]) == (HUB_NAME, 11, "apache-2.0")
    cifar, digits, lasot, *training = listed["data"]
    assert (cifar["num_bytes"], cifar["num_files"], cifar["download_bytes"]) == (4, 1, 170_498_071)
    assert digits["download_bytes"] == 0 and lasot["folder"] is None
    assert listed["bytes_here"] == 15 + 11 + 4
    assert listed["bytes_missing"] == lasot["download_bytes"] == 227_000_000_000
    # the default protocol of LaSOT trains on four sets
    assert [f"data of {each['task']}" for each in training] == LASOT_DATA[1:]
    assert listed["missing"] == LASOT_DATA
    assert main(["get", "--list", *WORDS]) == 0
    said = capsys.readouterr().out
    for part in (
        "licence: apache-2.0",
        "sha256: ",
        "here, 0.0 MB in 1 files",
        "missing: data of",
    ):
        assert part in said


def test_the_hub_is_asked_for_what_is_not_here(target: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    target.enter()
    asked: list[str] = []

    def answer(repo_id: str) -> HubFile:
        asked.append(repo_id)
        return HubFile(22_000_000, "a" * 64)

    monkeypatch.setattr(requirements, "ask_hub", answer)
    needed = requirements.list_requirements([], [HUB_NAME], target.root / "data")
    assert asked == [REPOSITORY]
    assert (needed.weights[0].num_bytes, needed.weights[0].sha256) == (22_000_000, "a" * 64)
    assert (needed.bytes_here, needed.bytes_missing) == (0, 22_000_000)

    def refuse(repo_id: str) -> HubFile:
        asked.append(repo_id)
        raise NetworkError("no network")

    monkeypatch.setattr(requirements, "ask_hub", refuse)
    names = [HUB_NAME, "timm/vit_small_patch16_224"]
    needed = requirements.list_requirements([], names, target.root / "data")
    assert [each.num_bytes for each in needed.weights] == [None, None]
    assert len(asked) == 2, "a dead network is asked once"


def test_all_unknown_names_are_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get", "--list", "--tasks", "digts", "cifar1", "--backbones", "vit_nan"]) == 2
    said = capsys.readouterr().err
    assert all(name in said for name in ("'digts'", "'cifar1'", "'vit_nan'")) and said.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "say either what to fetch"),
        (("weights", "mae_tiny", "--list", "--tasks", "digits"), "say either what to fetch"),
        (("weights",), "say which weights to fetch"),
        (("--list",), "--list and --pack need --tasks or --backbones"),
        (("data", "digits", "--tasks", "digits"), "these two are for them only"),
        (("--list", "--tasks", "digits", "--with-data"), "--with-data is for --pack"),
        (("--pack", "x.tar.gz", "--tasks", "digits"), "there is nothing to pack"),
        (("--unpack", "nowhere.tar.gz"), "cannot unpack nowhere.tar.gz"),
    ],
)
def test_wrong_words_are_one_sentence(words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get", *words]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_a_pack_makes_the_other_machine_complete(
    source: Machine, target: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = str(tmp_path / "supplies.tar.zst")
    assert main(["get", "--pack", archive, *WORDS, "--with-data"]) == 0
    assert "left out: data of lasot: not here" in capsys.readouterr().out
    target.enter()
    assert main(["get", "--list", *WORDS, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["missing"]) == 3 + len(LASOT_DATA)
    assert main(["get", "--unpack", archive, "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (len(done["written"]), done["num_present"]) == (4, 0)
    assert main(["get", "--list", *WORDS, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["missing"] == LASOT_DATA
    found = find_hub_file(REPOSITORY)
    assert found is not None and found.read_bytes() == b"hub weights" and found.is_relative_to(target.root)
    assert locate_weights(get_card("mae_tiny"), None).file == target.root / "weights" / "mae_tiny.pth"
    before = read_files(target)
    assert not [name for name in before if "bench-unpack" in name]
    assert main(["get", "--unpack", archive, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"written": [], "num_present": 4}
    assert read_files(target) == before


def test_data_travel_only_if_asked(source: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get", "--pack", str(tmp_path / "a.tar.zst"), *WORDS, "--json"]) == 0
    packed = json.loads(capsys.readouterr().out)
    assert packed["num_files"] == 3
    assert "data of cifar10: not asked for (--with-data)" in packed["left_out"]


def test_other_files_are_named_and_never_overwritten(
    source: Machine, target: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = str(tmp_path / "supplies.tar.gz")
    assert main(["get", "--pack", archive, *WORDS, "--with-data"]) == 0
    target.enter()
    mine = target.root / "weights" / "mae_tiny.pth"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"my own weights!")
    link = target.root / "data" / "cifar-10-batches-py" / "batches.meta"
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "nowhere")
    assert main(["get", "--unpack", archive]) == 2
    said = capsys.readouterr().err
    assert str(mine) in said and str(link) in said and "nothing was written" in said
    assert mine.read_bytes() == b"my own weights!" and not (tmp_path / "nowhere").exists()
    assert not (target.root / "hub").exists()


@pytest.mark.parametrize(
    "name",
    ["weights/a.sh", "weights/a/b.pth", "cards/../x.json", "cards/A.json", "hub/x/y", "other/x", "weights",
     "hub/models--a--b/snapshots/r/code.py", "data"],
)  # fmt: skip
def test_a_pack_brings_weights_cards_and_data_only(
    name: str, target: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    target.enter()
    (tmp_path / "file").write_bytes(b"x")
    monkeypatch.setattr("benchmarks.transfer.archives.require_safe_name", lambda name, origin: None)
    write_archive(tmp_path / "bad.tar", "offline", [ArchivedFile(name, tmp_path / "file")])
    assert main(["get", "--unpack", str(tmp_path / "bad.tar")]) == 2
    assert "do not trust this archive" in capsys.readouterr().err
    assert not target.root.exists()


def test_a_damaged_pack_writes_nothing_and_a_kill_is_taken_up(
    source: Machine, target: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "supplies.tar"
    assert main(["get", "--pack", str(archive), *WORDS, "--with-data"]) == 0
    target.enter()
    whole = archive.read_bytes()
    archive.write_bytes(whole.replace(b"hub weights", b"bad weights"))
    assert main(["get", "--unpack", str(archive)]) == 2
    assert read_files(target) == {}
    archive.write_bytes(whole)
    real, moved = offline_pack._move_file, []

    def die_at_the_third(source: Path, place: Path) -> None:
        moved.append(place)
        if len(moved) == 3:
            raise KeyboardInterrupt
        real(source, place)

    monkeypatch.setattr(offline_pack, "_move_file", die_at_the_third)
    assert main(["get", "--unpack", str(archive)]) == 130
    assert len(read_files(target)) == 2
    assert find_hub_file(REPOSITORY) is None, "the reference comes after its snapshot"
    monkeypatch.setattr(offline_pack, "_move_file", real)
    assert main(["get", "--unpack", str(archive)]) == 0
    assert len(read_files(target)) == 4


def test_folders_on_one_disk_share_what_is_free(
    source: Machine, target: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "supplies.tar"
    assert main(["get", "--pack", str(archive), *WORDS, "--with-data"]) == 0
    target.enter()
    # room for the files of each folder (15, 11 and 4 bytes), but not for all of them
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(29, 0, 29))  # type: ignore[attr-defined]
    assert main(["get", "--unpack", str(archive)]) == 2
    assert not target.root.exists()


def test_a_file_that_backbones_share_counts_once() -> None:
    entries = [
        requirements.RequiredWeights(name, "hf-hub:x/y", "", "", "", None, 7, file, Path("hub"))
        for file in (None, Path("hub/y"))
        for name in ("one", "other")
    ]
    found = requirements.Requirements(entries, [])
    assert (found.bytes_missing, found.bytes_here) == (7, 7)


def test_too_little_space_is_said_before_anything_is_written(
    source: Machine,
    target: Machine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    archive = tmp_path / "supplies.tar"
    assert main(["get", "--pack", str(archive), *WORDS]) == 0
    target.enter()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))  # type: ignore[attr-defined]
    assert main(["get", "--unpack", str(archive)]) == 2
    assert "free some space" in capsys.readouterr().err
    assert not target.root.exists()


def test_every_task_of_ours_has_a_source_but_your_own_data() -> None:
    assert {entry.name for entry in TASKS.list_entries() if entry.name not in DATA_SOURCES} <= {
        "imagefolder",
        "segfolder",
        "cocofolder",
        "trackfolder",
    }
    assert {entry.name for entry in TASKS.list_entries()} >= set(DATA_SOURCES)
