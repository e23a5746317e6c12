"""The variables of Slurm and torchrun: what they are translated to, and what contradicts."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from benchmarks.cli.main import main
from engine.device import _join_group, choose_local_gpu, init_distributed
from engine.processes.launcher import ALONE, apply_launcher, expand_node_list, read_slurm_variables
from foundation.errors import UserError

# the fifth of 6 processes of ``srun`` on three machines
FIFTH = {
    "SLURM_JOB_ID": "4711",
    "SLURM_STEP_ID": "2",
    "SLURM_PROCID": "4",
    "SLURM_NTASKS": "6",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "2",
    "SLURM_TASKS_PER_NODE": "2(x3)",
    "SLURM_JOB_NODELIST": "gpu[01-02,07]",
}


def test_variables_of_srun_become_those_of_torchrun() -> None:
    environment = dict(FIFTH)
    apply_launcher("slurm", environment)
    found = {name: environment[name] for name in (*ALONE, "MASTER_ADDR", "MASTER_PORT")}
    assert found == {
        "RANK": "4",
        "WORLD_SIZE": "6",
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "gpu01",
        "MASTER_PORT": str(10_000 + 4711 + 202),
    }
    apply_launcher("slurm", environment)  # a second time changes nothing
    assert environment == FIFTH | found


def test_all_processes_find_the_same_address_and_other_steps_another() -> None:
    first, last, other = (
        read_slurm_variables(FIFTH | changes)
        for changes in ({"SLURM_PROCID": "0"}, {"SLURM_PROCID": "5", "SLURM_LOCALID": "1"}, {"SLURM_STEP_ID": "3"})
    )
    assert first["MASTER_PORT"] == last["MASTER_PORT"] != other["MASTER_PORT"]
    # Slurm counts jobs up to 67 million
    assert 10_000 <= int(read_slurm_variables(FIFTH | {"SLURM_JOB_ID": "67043328"})["MASTER_PORT"]) < 30_000
    mine = read_slurm_variables(FIFTH | {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "4000"})
    assert (mine["MASTER_ADDR"], mine["MASTER_PORT"]) == ("10.0.0.1", "4000"), "what the user sets is kept"


def test_a_step_of_a_part_of_the_job_counts_for_itself() -> None:
    """Two of the job's six processes, on its second machine."""
    found = read_slurm_variables(
        FIFTH
        | {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NODELIST": "gpu02", "SLURM_STEP_TASKS_PER_NODE": "2"}
        | {"SLURM_PROCID": "1", "SLURM_LOCALID": "1", "SLURM_NODEID": "0"}
    )
    assert [found[name] for name in (*ALONE, "MASTER_ADDR")] == ["1", "2", "1", "2", "gpu02"]


def test_machines_with_other_numbers_of_processes() -> None:
    uneven = FIFTH | {"SLURM_TASKS_PER_NODE": "4,1(x2)", "SLURM_NODEID": "2"}
    assert read_slurm_variables(uneven)["LOCAL_WORLD_SIZE"] == "1"


@pytest.mark.parametrize("text", ["", "a,,b", "a[1-2", "a]1[", "a[x-y]", "a[1,]", "a[3-1]", ","])
def test_what_is_no_node_list_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"node list|not a list of hosts"):
        expand_node_list(text)


@pytest.mark.parametrize(
    ("changes", "removed", "message"),
    [
        ({}, "SLURM_STEP_ID", "needs the variables of srun .* and they are not set; start the command by: srun"),
        ({}, "SLURM_LOCALID", "SLURM_LOCALID='' is not a number of a process"),
        ({"SLURM_NTASKS": "4"}, "", "SLURM_PROCID=4 and SLURM_LOCALID=0 contradict a step of 4 processes"),
        ({"SLURM_LOCALID": "5"}, "", "contradict a step of 6"),
        ({"WORLD_SIZE": "8"}, "", "gives WORLD_SIZE=6, but WORLD_SIZE=8 is set: where srun starts torchrun, leave"),
    ],
)
def test_contradictions_of_slurm_are_one_sentence(changes: dict[str, str], removed: str, message: str) -> None:
    environment = {name: value for name, value in (FIFTH | changes).items() if name != removed}
    with pytest.raises(UserError, match=message):
        apply_launcher("slurm", environment)


def test_srun_without_a_launcher_is_named() -> None:
    with pytest.raises(UserError, match="srun started 6 processes, and without --launcher each of them would run"):
        apply_launcher(None, dict(FIFTH))
    # neither one process of srun, nor the script of a job, which has the variables of the job but is no step
    apply_launcher(None, FIFTH | {"SLURM_STEP_NUM_TASKS": "1"})
    apply_launcher(None, {name: value for name, value in FIFTH.items() if name != "SLURM_STEP_ID"})
    # the shell that salloc opens is a step of Slurm's own
    apply_launcher(None, FIFTH | {"SLURM_STEP_ID": "4294967290"})
    # srun starts torchrun, which starts the processes
    apply_launcher(None, FIFTH | {"RANK": "1", "WORLD_SIZE": "16"})


def test_torchrun_and_none() -> None:
    apply_launcher(None, {})
    apply_launcher("torchrun", {"RANK": "1", "WORLD_SIZE": "2"})
    with pytest.raises(UserError, match="RANK is not set, so torchrun did not start this process"):
        apply_launcher("torchrun", {})
    with pytest.raises(UserError, match="RANK=2 and WORLD_SIZE=2 contradict"):
        apply_launcher(None, {"RANK": "2", "WORLD_SIZE": "2"})
    # a rank alone would do the complete work and write no record
    with pytest.raises(UserError, match=r"WORLD_SIZE is not set, .* or run in one process: --launcher none"):
        apply_launcher(None, {"RANK": "1"})
    environment = FIFTH | {"RANK": "3", "WORLD_SIZE": "8"}
    apply_launcher("none", environment)
    apply_launcher(None, environment)
    assert environment == FIFTH | ALONE


def test_the_command_says_so_before_it_does_anything(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name, value in FIFTH.items():
        monkeypatch.setenv(name, value)
    words = ["run", "digits", "--backbone", "vit_pico", "--out", f"{tmp_path}/runs"]
    assert main(words) == 2
    assert "srun started 6 processes" in capsys.readouterr().err
    monkeypatch.delenv("SLURM_STEP_ID")
    assert main([*words, "--launcher", "slurm"]) == 2
    assert "start the command by: srun" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["", "abc", "2"])
def test_wrong_variables_are_one_sentence_in_every_verb(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, value: str
) -> None:
    monkeypatch.setenv("WORLD_SIZE", value)
    assert main(["run", "digits", "--backbone", "vit_pico", "--out", f"{tmp_path}/runs"]) == 2
    monkeypatch.setenv("RANK", "0")
    words = ["sweep", "--backbones", "vit_pico", "--tasks", "digits", "--out", f"{tmp_path}/runs"]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "RANK is not set" in said and "unexpected" not in said
    if value == "2":
        assert "start it without torchrun" in said


def test_processes_that_cannot_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="WORLD_SIZE=2 asks for several processes, but LOCAL_RANK is not set"):
        init_distributed()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for name, value in {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(taken.getsockname()[1])}.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(UserError, match=r"process 0 of 2 cannot meet the others at 127\.0\.0\.1:\d+"):
            _join_group("gloo")


def test_one_of_several_processes_describes_a_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    lengths = []
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        assert main(["run", "digits", "--backbone", "vit_pico", "--dry-run", "--out", f"{tmp_path}/runs"]) == 0
        lengths.append(len(capsys.readouterr().out.splitlines()))
    assert lengths[0] > 10 and lengths[1] == 0


@pytest.mark.parametrize(
    "words",
    [
        ["run", "digits", "--backbone", "vit_pico"],
        ["run", "mini_ade", "--backbone", "vit_nano", "--checkpoint", "random"],
        ["pretrain", "mae", "--backbone", "vit_pico", "--data", "digits"],
    ],
)
def test_a_batch_that_cannot_be_shared_is_refused_before_a_folder_is_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "5")
    monkeypatch.setenv("RANK", "0")
    assert main([*words, "--out", str(tmp_path / "runs")]) == 2
    assert "cannot be split evenly over 5 processes" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_each_process_has_a_gpu_of_its_own() -> None:
    second = {"LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    assert choose_local_gpu(2, second) == choose_local_gpu(4, second) == 1
    with pytest.raises(UserError, match=r"2 processes run on this machine and see 1 GPU\(s\)"):
        choose_local_gpu(1, second)
    with pytest.raises(UserError, match="see 1 GPU"):  # the first process too: NCCL would wait for the second
        choose_local_gpu(1, second | {"LOCAL_RANK": "0"})
    # Slurm shows each process its own
    assert choose_local_gpu(1, second | {"SLURM_GPUS_PER_TASK": "1"}) == 0


@pytest.mark.parametrize("local", ["0", "1"])
def test_a_process_joins_nccl_on_its_own_gpu(monkeypatch: pytest.MonkeyPatch, local: str) -> None:
    """With two GPUs that do not exist: the device is set before the group is joined."""
    calls: list[tuple[str, object]] = []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.set_device", lambda index: calls.append(("device", index)))
    monkeypatch.setattr("engine.device._join_group", lambda backend: calls.append(("group", backend)))
    words = {"RANK": local, "LOCAL_RANK": local, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    for name, value in {**words, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}.items():
        monkeypatch.setenv(name, value)
    init_distributed()
    assert calls == [("device", int(local)), ("group", "nccl")]
