"""Suites: which backbones run on which tasks, as options of the command line or as a TOML file. Imports no torch."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field, ValidationError

from backbones.registry import get_card
from backbones.weights import RANDOM_INIT
from benchmarks.matrix.cell_command import make_cell_command
from benchmarks.matrix.executors.executor import CellResources
from benchmarks.resolve_cell import CellRequest, require_training_protocol
from benchmarks.task_registry import TASKS, is_test_only
from engine.data.data_options import name_option
from engine.data.data_sources import DATA_SOURCES, find_task_data
from engine.task import Task
from foundation.display_text import format_one_line
from foundation.errors import BenchError, ConfigError, DataError, UserError
from foundation.run_scope import open_run_scope
from foundation.storage.regular_files import read_regular
from foundation.suggest import did_you_mean
from foundation.text.user_text import decode_user_text
from results.records.identity import AS_IS
from results.records.record import Tier
from results.records.strict_model import FiniteFloat, StrictModel, format_validation_errors

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SUITES_DIR = Path(__file__).parent / "suites"

CHECKPOINT_MARK = "@"
"""Separates a backbone from its start weights: ``mae_tiny@random``, ``vit_tiny@runs/pretrain/RUN``."""

_MAX_SUITE_BYTES = 1 << 20
_MAX_LISTED_FAULTS = 20


class SuiteBlock(StrictModel):
    """One product of lists; a suite is the union of its blocks.

    Attributes:
        tasks: names of the registry.
        domain: instead of ``tasks``: every task of this domain whose data are below the data root.
        backbones: registry names or ``timm/<name>``, each followed by ``@`` and its start weights if they differ from
            those of the card.
        protocols: those of them that a task has are run on it; empty: the first protocol of each task.
        seeds, data_scale: see ``CellRequest``.
        tier: ``smoke``, ``short`` or ``full``.
        set: ``KEY=VALUE``, for every cell of the block.
        threads, gpus, memory_gib: what a cell of the block needs; ``None``: as the command line says.
    """

    tasks: list[str] = Field(default_factory=list)
    domain: str | None = None
    backbones: list[str] = Field(default_factory=list)
    protocols: list[str] = Field(default_factory=list)
    seeds: list[int] = Field(default=[0], min_length=1)
    data_scale: list[FiniteFloat] = Field(default=[1.0], min_length=1)
    tier: Tier = "full"
    set: list[str] = Field(default_factory=list)
    threads: int | None = Field(default=None, ge=1)
    gpus: int | None = Field(default=None, ge=0)
    memory_gib: FiniteFloat | None = Field(default=None, gt=0)


class Suite(StrictModel):
    """What a suite file holds.

    Attributes:
        summary: what the suite is for, one line.
        cells: its blocks, as tables ``[[cells]]``.
    """

    summary: str = ""
    cells: list[SuiteBlock] = Field(min_length=1)


class MatrixCell(NamedTuple):
    """One cell of a matrix, and what it needs while it runs."""

    request: CellRequest
    resources: CellResources


class Matrix(NamedTuple):
    """The cells of a suite, each of them once.

    Attributes:
        cells: in the order of the suite.
        notes: what the reader should know, one sentence each, for example which tasks have no data here.
    """

    cells: list[MatrixCell]
    notes: list[str]


def list_shipped_suites() -> dict[str, str]:
    """Return the suites that come with bench: summary by name."""
    return {file.stem: read_suite(str(file)).summary for file in sorted(SUITES_DIR.glob("*.toml"))}


def read_suite(name: str) -> Suite:
    """Read a suite file.

    Args:
        name: path of a TOML file, or the name of a shipped suite.

    Raises:
        ConfigError: there is no such file, it is no TOML, or it has wrong fields; all of them are named.
    """
    shipped = SUITES_DIR / f"{name}.toml"
    path = shipped if shipped.is_file() and not Path(name).exists() else Path(name)
    try:
        content = tomllib.loads(decode_user_text(read_regular(path, _MAX_SUITE_BYTES), path, ConfigError))
    except OSError as error:
        known = [file.stem for file in SUITES_DIR.glob("*.toml")]
        close = did_you_mean(name, known, hint=f"shipped suites: {', '.join(sorted(known))}")
        raise ConfigError(f"cannot read the suite {name}: {error.strerror or error}{close}") from error
    # tomllib goes into nested arrays by recursion
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"suite {name} is not TOML: {format_one_line(str(error))}") from error
    try:
        return Suite.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"suite {name}: {format_validation_errors(error)}") from error


def replace_fields(suite: Suite, changes: Mapping[str, Any]) -> Suite:
    """Return a suite in which options of the command line replace fields of every block.

    Settings are replaced one by one, by their names: a block's ``batch_size=64`` must not go because of ``epochs=1``.

    Args:
        suite: as read from a file.
        changes: field names of ``SuiteBlock`` and their values; ``tasks`` also replaces ``domain``.

    Raises:
        ConfigError: a value is not of the field's type or range.
    """
    if "tasks" in changes:
        changes = {**changes, "domain": None}
    given = changes.get("set", [])
    named = {_get_key(word) for word in given}
    blocks = []
    for block in suite.cells:
        kept = [word for word in block.set if _get_key(word) not in named]
        blocks.append({**block.model_dump(), **changes, "set": [*kept, *given]})
    try:
        return Suite.model_validate({"summary": suite.summary, "cells": blocks})
    except ValidationError as error:
        raise ConfigError(format_validation_errors(error)) from error


def _get_key(override: str) -> str:
    return override.partition("=")[0].strip()


def expand_suite(suite: Suite, defaults: CellRequest, resources: CellResources) -> Matrix:
    """Return the cells of a suite; nothing of a cell is resolved yet.

    Args:
        suite: the blocks.
        defaults: gives every field of the cells that a block does not have (folders, device ...).
        resources: gives what a block does not say.

    Raises:
        ConfigError: unknown names, or values that no cell can have; all of them are listed.
    """
    faults: list[str] = []
    notes: list[str] = []
    cells: dict[CellRequest, MatrixCell] = {}
    for number, block in enumerate(suite.cells, 1):
        where = f"cells[{number}]: " if len(suite.cells) > 1 else ""
        found, problems = _Expansion(block, defaults, resources).expand(notes)
        faults += [f"{where}{problem}" for problem in problems]
        for cell in found:
            cells.setdefault(cell.request, cell)
    if faults:
        faults = list(dict.fromkeys(faults))
        more = len(faults) - _MAX_LISTED_FAULTS
        rest = f"; and {more} more" if more > 0 else ""
        raise ConfigError("; ".join(faults[:_MAX_LISTED_FAULTS]) + rest)
    return Matrix(list(cells.values()), list(dict.fromkeys(notes)))


def keep_named_cells(matrix: Matrix, names: Sequence[str]) -> Matrix:
    """Return the cells of a matrix on some tasks or under some protocols; with names of both kinds, of both.

    Args:
        matrix: the cells of a suite.
        names: tasks and protocols that the suite has.

    Raises:
        UserError: the suite has no such task or protocol, or no cell is left.
    """
    has_protocol = {cell.request.protocol or "" for cell in matrix.cells}
    has_task = {str(cell.request.task) for cell in matrix.cells}
    tasks, protocols = has_task & {*names}, has_protocol & {*names}
    if unknown := [name for name in names if name not in tasks | protocols]:
        close = did_you_mean(unknown[0], has_task | has_protocol)
        raise UserError(f"--only {unknown[0]}: no cell has such a task or protocol{close}")
    kept = [
        cell
        for cell in matrix.cells
        if cell.request.task in (tasks or has_task) and (cell.request.protocol or "") in (protocols or has_protocol)
    ]
    if not kept:
        raise UserError(f"--only {' '.join(names)}: no cell is of such a task and of such a protocol")
    return matrix._replace(cells=kept)


class _Expansion:
    """The expansion of one block."""

    def __init__(self, block: SuiteBlock, defaults: CellRequest, resources: CellResources) -> None:
        start = defaults.checkpoint
        self.defaults = replace(defaults, checkpoint=None if start is None else _make_absolute(start))
        self.block = block
        self.faults: list[str] = []
        changes = {
            name: value for name in ("threads", "gpus", "memory_gib") if (value := getattr(block, name)) is not None
        }
        self.resources = replace(resources, **changes)

    def expand(self, notes: list[str]) -> tuple[list[MatrixCell], list[str]]:
        """Return the cells of the block, and every fault that was found; appends to the notes."""
        tasks = self._find_tasks(notes)
        self._check_names()
        self._check_protocols(tasks)
        self._check_values(tasks)
        cells = [MatrixCell(request, self.resources) for request in self._make_requests(tasks)]
        self._note_files(cells, notes)
        return cells if not self.faults else [], self.faults

    def _note_files(self, cells: Sequence[MatrixCell], notes: list[str]) -> None:
        """Say which cells the options of a weight file hold for; a fault if there are none."""
        given = {"--weights-key": self.defaults.weights_key, "--mean": self.defaults.mean, "--std": self.defaults.std}
        options = " and ".join(option for option, value in given.items() if value is not None)
        if not options or not cells:
            return
        other = {str(cell.request.backbone) for cell in cells if cell.request.checkpoint in (None, RANDOM_INIT)}
        if all(cell.request.checkpoint in (None, RANDOM_INIT) for cell in cells):
            self.faults.append(f"{options} belong to weight files, and no backbone starts from one; name it after an @")
        elif other:
            names = ", ".join(sorted(other))
            notes.append(f"{options} hold for the backbones that start from a file, and not for {names}")

    def _find_tasks(self, notes: list[str]) -> list[Task]:
        block = self.block
        if block.domain is not None:
            if block.tasks:
                self.faults.append("tasks and domain exclude each other")
            return self._find_domain_tasks(block.domain, notes)
        if not block.tasks:
            self.faults.append("no task is named; name some with --tasks or tasks = [...]")
        found = []
        for name in block.tasks:
            try:
                found.append(TASKS.get(name))
            except BenchError as error:
                self.faults.append(str(error))
        return found

    def _find_domain_tasks(self, domain: str, notes: list[str]) -> list[Task]:
        """Return the tasks of a domain whose data are below the data root."""
        # a plug-in that cannot be loaded has no domain; bench list tasks says what is wrong with it
        tasks = [TASKS.get(entry.name) for entry in TASKS.list_entries() if entry.error is None]
        domains = {task.domain for task in tasks}
        if domain not in domains:
            self.faults.append(f"unknown domain {domain!r}{did_you_mean(domain, domains)}")
        of_domain = [task for task in tasks if task.domain == domain and not is_test_only(task)]
        absent = [task.name for task in of_domain if not _has_data(task, self.defaults)]
        if absent:
            notes.append(f"no data below {self.defaults.data_root} for {', '.join(absent)}, so they are left out")
        return [task for task in of_domain if task.name not in absent]

    def _check_names(self) -> None:
        if not self.block.backbones:
            self.faults.append("no backbone is named; name some with --backbones or backbones = [...]")
        for name in self.block.backbones:
            card, mark, checkpoint = name.partition(CHECKPOINT_MARK)
            if mark and not checkpoint:
                self.faults.append(f"backbone {name!r} names no start weights after the {CHECKPOINT_MARK}")
            try:
                get_card(card)
            except BenchError as error:
                self.faults.append(str(error))

    def _check_protocols(self, tasks: Sequence[Task]) -> None:
        """Each protocol must be one of at least one task, and each task must have at least one of them."""
        known = {name for task in tasks for name in task.protocols}
        wanted = self.block.protocols
        for name in wanted:
            if tasks and name not in known and name != AS_IS:
                close = did_you_mean(name, known)
                self.faults.append(f"no task of {_join_names(tasks)} has a protocol {name!r}{close}")
        for task in tasks:
            # all faults of a suite are reported at once
            try:
                require_training_protocol(task, AS_IS if AS_IS in wanted else None)
            except UserError as error:
                self.faults.append(str(error))
                continue
            if wanted and not set(wanted) & set(task.protocols):
                self.faults.append(
                    f"task {task.name} has none of the protocols {', '.join(wanted)}; it has "
                    f"{', '.join(task.protocols)}"
                )

    def _check_values(self, tasks: Sequence[Task]) -> None:
        self.faults += [f"seed {seed} is negative; seeds are 0 or above" for seed in self.block.seeds if seed < 0]
        for scale in self.block.data_scale:
            if not 0 < scale <= 1:
                self.faults.append(f"data scale {scale:g} is not a fraction of the training data, above 0 to 1")
        if any(scale != 1 for scale in self.block.data_scale):
            self.faults += [
                f"task {task.name} has no --data-scale: it always trains on all of its data"
                for task in tasks
                if not task.supports_data_scale
            ]
        known = {name for task in tasks for name in task.data_options}
        self.faults += [
            f"no task of {_join_names(tasks)} has {name_option(name)}; leave it out"
            for name in self.defaults.data_options.as_dict()
            if tasks and name not in known
        ]

    def _make_requests(self, tasks: Sequence[Task]) -> Iterator[CellRequest]:
        block = self.block
        for task, backbone in product(tasks, block.backbones):
            name, mark, checkpoint = backbone.partition(CHECKPOINT_MARK)
            own = [protocol for protocol in block.protocols if protocol in task.protocols]
            # seeds vary fastest, so that each setting is complete before the next one starts
            for protocol, scale, seed in product(own or task.protocols[:1], block.data_scale, block.seeds):
                request = replace(
                    self.defaults,
                    task=task.name,
                    backbone=name,
                    protocol=protocol,
                    checkpoint=_make_absolute(checkpoint) if mark else self.defaults.checkpoint,
                    tier=block.tier,
                    seed=seed,
                    overrides=tuple(block.set),
                    data_scale=scale,
                    # in a matrix of several tasks, each takes what it knows; _check_values has refused what none does
                    data_options=self.defaults.data_options.restrict_to(task.data_options),
                )
                if request.checkpoint in (None, RANDOM_INIT):  # they say something of a weight file
                    request = replace(request, weights_key=None, mean=None, std=None)
                # the record says how its cell is run alone
                yield replace(request, command_line=tuple(make_cell_command(request)))


def _make_absolute(checkpoint: str) -> str:
    """Return the path of start weights for a worker, which runs in another folder; ``random`` stays what it is."""
    path = Path(checkpoint).expanduser()
    return checkpoint if checkpoint == RANDOM_INIT else str(path.absolute())


def _has_data(task: Task, defaults: CellRequest) -> bool:
    """Return whether the data of a task are below a data root; a run finds out whether they are whole."""
    source, root = DATA_SOURCES.get(task.name), defaults.data_root
    if source is not None:
        return not source.places or source.find_folder(root) is not None
    try:
        with open_run_scope(data_options=defaults.data_options.restrict_to(task.data_options)):
            find_task_data(task, root)
    except DataError:
        return False
    return True


def _join_names(tasks: Sequence[Task]) -> str:
    return ", ".join(task.name for task in tasks)
