"""Find the folders of runs by their names, without opening a record. Imports no torch."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from results.records.ledger import LEDGER_FOLDER

# NAME-PROTOCOL-TIER-seedN-RUNID, with .2, .3 ... for later attempts (``results.records.store.list_attempts``)
_RUN_FOLDER = re.compile(r"(?P<cell>.+)-(?P<run_id>[0-9a-f]{16})(?:\.(?P<attempt>[2-9]|[1-9]\d+))?")


@dataclass(frozen=True)
class RunFolders:
    """The folders of runs below one root, by what their names say.

    Attributes:
        root: the folder that was searched.
        attempts: folders of all attempts at a run, oldest first, by the path of the first one without its root:
            ``TASK/NAME-PROTOCOL-TIER-seedN-RUNID``.
        run_ids: run ids by the same path without the id: all runs that differ in their id alone.
        seeds: the paths without id of ``run_ids``, by the same path without the seed.
    """

    root: Path
    attempts: dict[str, list[Path]] = field(default_factory=dict)
    run_ids: dict[str, list[str]] = field(default_factory=dict)
    seeds: dict[str, list[str]] = field(default_factory=dict)

    def find_attempts(self, stem: str) -> list[Path]:
        """Return the folders of all attempts at a run, oldest first.

        Args:
            stem: ``TASK/NAME-PROTOCOL-TIER-seedN-RUNID``, see ``benchmarks.resolve_cell.make_run_stem``.
        """
        return self.attempts.get(stem, [])

    def find_other_runs(self, stem: str) -> list[Path]:
        """Return the newest attempt at each run that differs from this one in its id alone.

        Args:
            stem: as in ``find_attempts``.
        """
        cell, _, own = stem.rpartition("-")
        return [self.attempts[f"{cell}-{run_id}"][-1] for run_id in self.run_ids.get(cell, []) if run_id != own]

    def find_other_seeds(self, stem: str) -> list[Path]:
        """Return the newest attempt at each run that differs from this one in its seed and id alone, and at this one.

        Args:
            stem: as in ``find_attempts``.
        """
        kind = stem.rpartition("-")[0].rpartition("-")[0]
        cells = self.seeds.get(kind, [])
        return [self.attempts[f"{cell}-{run_id}"][-1] for cell in cells for run_id in self.run_ids[cell]]


def index_run_folders(roots: Iterable[Path]) -> dict[Path, RunFolders]:
    """List the run folders of several stores; a root that does not exist has none.

    Args:
        roots: stores. A run is found at ``TASK/NAME-RUNID`` below its root, where ``bench run`` looks for it.

    Returns:
        The folders of each root.
    """
    return {root: _index_root(root) for root in dict.fromkeys(roots)}


def _index_root(root: Path) -> RunFolders:
    found: dict[str, list[tuple[int, Path]]] = defaultdict(list)
    run_ids: dict[str, dict[str, None]] = defaultdict(dict)
    for folder in _walk_folders(root, frozenset()):
        if match := _RUN_FOLDER.fullmatch(folder.name):
            cell, run_id = f"{folder.parent.relative_to(root).as_posix()}/{match['cell']}", match["run_id"]
            found[f"{cell}-{run_id}"].append((int(match["attempt"] or 1), folder))
            run_ids[cell][run_id] = None
    attempts = {stem: [path for _, path in sorted(entries)] for stem, entries in found.items()}
    seeds: dict[str, list[str]] = defaultdict(list)
    for cell in run_ids:
        seeds[cell.rpartition("-")[0]].append(cell)
    return RunFolders(root, attempts, {cell: list(ids) for cell, ids in run_ids.items()}, dict(seeds))


def _walk_folders(place: Path, above: frozenset[str]) -> Iterator[Path]:
    """Yield all folders below a place, but none of a run; links are followed, as ``bench run`` does.

    Args:
        place: the folder.
        above: real paths of the folders above it, so that a link in a circle ends.
    """
    real = os.path.realpath(place)
    if real in above:
        return
    for folder in _list_folders(place):
        yield folder
        # run folders hold checkpoints and pictures, but no other runs
        if folder.name != LEDGER_FOLDER and not _RUN_FOLDER.fullmatch(folder.name):
            yield from _walk_folders(folder, above | {real})


def _list_folders(place: Path) -> list[Path]:
    """Return the folders in a folder, links to folders included; none if it is not there or may not be read."""
    try:
        with os.scandir(place) as entries:
            # DirEntry.is_dir fails for a link to itself
            return [
                Path(entry.path)
                for entry in entries
                if entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and Path(entry).is_dir())
            ]
    except OSError:
        return []
