"""Tell from the environment which of several processes this one is: started by ``torchrun``, by Slurm, or alone.

Everything else reads the four variables of ``torchrun`` (RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE) and the
address of the first process (MASTER_ADDR, MASTER_PORT); for Slurm they are set here. Imports no torch.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, MutableMapping

from foundation.errors import UserError

LAUNCHERS = ("torchrun", "slurm", "none")
"""What can have started the processes of one run."""

ALONE = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
"""The variables of ``torchrun`` that say which process this is, for a process without others."""

FIRST_PORT, NUM_PORTS = 10_000, 20_000
"""Ports that jobs are given: above those of services, below those that Linux hands out by itself (from 32,768)."""


def apply_launcher(launcher: str | None, environment: MutableMapping[str, str] = os.environ) -> None:
    """Set the variables of ``torchrun`` as the launcher says. Call it before a process group or a GPU is used.

    Args:
        launcher: one of ``LAUNCHERS``; ``None`` takes the variables of ``torchrun`` where they are set.
        environment: the variables; changed in place.

    Raises:
        UserError: the variables are missing, contradict each other, or belong to several processes that nobody asked
            for.
    """
    if launcher == "none":
        environment.update(ALONE)
    elif launcher == "slurm":
        environment.update(read_slurm_variables(environment))
    elif launcher == "torchrun" or {"RANK", "WORLD_SIZE"} & environment.keys():
        _require_torchrun_variables(environment)
    elif (tasks := _count_step_tasks(environment)) > 1:
        raise UserError(
            f"srun started {tasks} processes, and without --launcher each of them would run the complete command; add "
            "--launcher slurm to share the work, or start one process (srun --ntasks=1; in a shell of srun --pty: "
            "--launcher none)"
        )


def read_slurm_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Translate the variables of ``srun`` to those of ``torchrun``.

    MASTER_ADDR and MASTER_PORT are kept where they are set; otherwise they are the first host of the step, and a port
    that follows from the numbers of job and step, so that all processes find the same and two jobs rarely do.

    Args:
        environment: the variables of a process that ``srun`` started.

    Raises:
        UserError: not started by ``srun``, or variables that contradict each other.
    """
    # sbatch and salloc set SLURM_PROCID and SLURM_NTASKS too, but only srun starts steps
    if "SLURM_STEP_ID" not in environment or "SLURM_PROCID" not in environment:
        raise UserError(
            "--launcher slurm needs the variables of srun (SLURM_STEP_ID, SLURM_PROCID), and they are not set; start "
            "the command by: srun --ntasks=N bench ..."
        )
    rank, size = _read_number(environment, "SLURM_PROCID"), _count_step_tasks(environment)
    local = _read_number(environment, "SLURM_LOCALID")
    if not (rank < size and local <= rank):
        raise UserError(
            f"SLURM_PROCID={rank} and SLURM_LOCALID={local} contradict a step of {size} processes; unset variables "
            "that do not come from srun"
        )
    nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST", "")
    hosts = expand_node_list(nodes)
    found = {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(local)}
    found["LOCAL_WORLD_SIZE"] = str(_count_local_tasks(environment, size, len(hosts)))
    other = [name for name in found if environment.get(name, found[name]) != found[name]]
    if other:
        raise UserError(
            f"--launcher slurm gives {other[0]}={found[other[0]]}, but {other[0]}={environment[other[0]]} is set: "
            "where srun starts torchrun, leave --launcher out; otherwise unset it"
        )
    job, step = (int(re.sub(r"\D", "", environment.get(name, "")) or 0) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    # 101 keeps the steps of a job apart from the first steps of the jobs after it
    port = FIRST_PORT + (job + 101 * step) % NUM_PORTS
    return {"MASTER_ADDR": hosts[0], "MASTER_PORT": str(port), **_take_address(environment), **found}


def expand_node_list(text: str) -> list[str]:
    """List the hosts of a Slurm node list, in its order.

    Args:
        text: names separated by commas, with numbers or ranges of numbers in brackets.

    Raises:
        UserError: the text is empty or not such a list.

    >>> expand_node_list("gpu[01-03,7],login")
    ['gpu01', 'gpu02', 'gpu03', 'gpu7', 'login']
    >>> expand_node_list("r[1-2]n[09-10]-ib")
    ['r1n09-ib', 'r1n10-ib', 'r2n09-ib', 'r2n10-ib']
    """
    # commas within brackets belong to the ranges
    names = re.findall(r"(?:[^,\[\]]|\[[^\[\]]*\])+", text)
    if not names or ",".join(names) != text:
        raise UserError(
            f"SLURM_JOB_NODELIST={text!r} is not a list of hosts; set MASTER_ADDR and a list such as n[1-4]"
        )
    return [host for name in names for host in _expand_name(name)]


def _expand_name(name: str) -> Iterator[str]:
    head, bracket, rest = name.partition("[")
    if not bracket:
        yield head
        return
    numbers, _, tail = rest.partition("]")
    for part in numbers.split(","):
        first, _, last = part.partition("-")
        if not (first.isdecimal() and (last or first).isdecimal() and int(first) <= int(last or first)):
            raise UserError(f"the node list has {name!r}, whose brackets hold no numbers or ranges such as [01-04,7]")
        for number in range(int(first), int(last or first) + 1):
            # 01-10 keeps its leading zeros
            yield from (f"{head}{number:0{len(first)}d}{end}" for end in _expand_name(tail))


def _count_step_tasks(environment: Mapping[str, str]) -> int:
    """Return the number of processes of this step of ``srun``; 1 outside of a step."""
    step = environment.get("SLURM_STEP_ID", "")
    # numbers from 0xfffffff0 are those of Slurm's own steps, such as the shell of salloc, which is one process
    if not step or (step.isdecimal() and int(step) >= 0xFFFFFFF0):
        return 1
    # SLURM_NTASKS is the job's in a step that asked for fewer
    name = "SLURM_STEP_NUM_TASKS" if "SLURM_STEP_NUM_TASKS" in environment else "SLURM_NTASKS"
    return _read_number(environment, name) if name in environment else 1


def _count_local_tasks(environment: Mapping[str, str], size: int, num_hosts: int) -> int:
    """Return the number of processes of the step on this machine, from a text such as ``4(x2),3``."""
    text = environment.get("SLURM_STEP_TASKS_PER_NODE") or environment.get("SLURM_TASKS_PER_NODE", "")
    counts = [
        int(count)
        for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", text)
        for _ in range(int(times or 1))
    ]  # fmt: skip
    node = _read_number(environment, "SLURM_NODEID") if "SLURM_NODEID" in environment else 0
    # a step of fewer processes than the job has no list of its own; processes are then spread evenly
    return counts[node] if sum(counts) == size and node < len(counts) else -(-size // num_hosts)


def _take_address(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: environment[name] for name in ("MASTER_ADDR", "MASTER_PORT") if name in environment}


def _require_torchrun_variables(environment: Mapping[str, str]) -> None:
    missing = [name for name in ("RANK", "WORLD_SIZE") if name not in environment]
    if missing:
        raise UserError(
            f"{missing[0]} is not set, so torchrun did not start this process; start it by: torchrun --no-python "
            "--nproc-per-node=N bench ..., or run in one process: --launcher none"
        )
    rank, size = (_read_number(environment, name) for name in ("RANK", "WORLD_SIZE"))
    if not rank < size:
        raise UserError(
            f"RANK={rank} and WORLD_SIZE={size} contradict each other; start the processes by torchrun or unset both"
        )


def _read_number(environment: Mapping[str, str], name: str) -> int:
    value = environment.get(name, "")
    if not value.isdecimal():
        raise UserError(f"{name}={value!r} is not a number of a process; start the command by srun or torchrun")
    return int(value)
