"""The test sets that can be scored: their rules, their lists of sequences, and how their ground truth is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from foundation.errors import ConfigError, DataError
from tracking.scoring import layouts
from tracking.scoring.rules import (
    GOT10K,
    GOT10K_VAL,
    OFFICIAL,
    OTB_GOT10K,
    OTB_PYTRACKING,
    UAV123_GOT10K,
    UAV123_PYTRACKING,
    Rules,
)
from tracking.scoring.score import GroundTruth, listed


class Loaded(NamedTuple):
    """Ground truth as found: the sequences, all names the set has, and how it departs from the official set."""

    truths: list[GroundTruth]
    names: tuple[str, ...]
    departures: tuple[str, ...]


Where = TypeVar("Where")


@dataclass(frozen=True)
class BoxSet(Generic[Where]):
    """A test set with public ground truth.

    Attributes:
        title: as plots name it.
        folders: names its folder may have below the data root.
        expected: number of sequences.
        rules: by ``--rules`` word; the first is the default.
        names: the official sequences, given the folder; empty where no list is known.
        find: where each sequence's annotation is, by its name, given the folder and the official names.
        read: the ground truth of one sequence, given its name and what ``find`` told.
        frames: frames of the whole set, where known.
        cut: sequences whose results may be longer than the ground truth and are cut to it.
        repeated: results lie in a folder a sequence, a file a repetition (GOT-10k).
    """

    title: str
    folders: tuple[str, ...]
    expected: int
    rules: Mapping[str, Rules]
    names: Callable[[Path], tuple[str, ...]]
    find: Callable[[Path, tuple[str, ...]], Mapping[str, Where]]
    read: Callable[[str, Where], GroundTruth]
    frames: int | None = None
    cut: frozenset[str] = field(default=frozenset())
    repeated: bool = False

    def choose_rules(self, word: str | None) -> Rules:
        """The rules of a ``--rules`` word, or the set's first.

        Raises:
            ConfigError: the set has no such rules.
        """
        if word is not None and word not in self.rules:
            raise ConfigError(f"{self.title} has no rules {word!r}; there are: {', '.join(self.rules)}")
        return self.rules[word or next(iter(self.rules))]

    def load(self, root: Path, partial: bool) -> Loaded:
        """Read the ground truth below the data root ``root``, or in it.

        Raises:
            DataError: there is none, a file of it is damaged, or (unless ``partial``) it is not the whole set.
        """
        folder, names, found = self._find(root)
        chosen = [name for name in names if name in found] or list(found)
        missing = [name for name in names if name not in found]
        departures = []
        if missing and len(missing) == len(names):
            departures.append(f"none of the {len(chosen)} sequences in {folder} is in the official list")
            names = ()
        elif missing:
            departures.append(f"ground truth of {len(missing)} sequences is not in {folder}: {listed(missing)}")
        elif len(chosen) != self.expected:
            departures.append(f"{folder} has ground truth of {len(chosen)} sequences, {self.title} has {self.expected}")
        truths = [self.read(name, found[name]) for name in chosen]
        frames = sum(len(truth.boxes) for truth in truths)
        if not departures and self.frames not in (None, frames):
            departures.append(f"ground truth in {folder} has {frames:,} frames, {self.title} has {self.frames:,}")
        if departures and not partial:
            raise DataError(f"{departures[0]}; fetch it whole, or score what is there with --partial")
        return Loaded(truths, names, tuple(departures))

    def _find(self, root: Path) -> tuple[Path, tuple[str, ...], Mapping[str, Where]]:
        """The folder, the official names, and what of them is there; else whatever lies there in the set's layout."""
        # the data root last: zips in it may be of other sets
        folders = [folder for folder in (*(root / name for name in self.folders), root) if folder.is_dir()]
        for listed_only in (True, False):
            for folder in folders:
                names = self.names(folder)
                found = self.find(folder, names if listed_only else ())
                if found:
                    return folder, names, found
        places = ", ".join(str(root / name) for name in self.folders)
        raise DataError(f"no ground truth of {self.title} in {root} (nor in {places}); name it with --data-root")


def _packaged(file: str) -> Any:
    """A list of sequences that the got10k package ships; the package itself is not imported."""
    spec = find_spec("got10k")
    assert spec is not None and spec.submodule_search_locations is not None
    return json.loads((Path(spec.submodule_search_locations[0]) / "datasets" / file).read_text())


def _lasot_names(folder: Path) -> tuple[str, ...]:
    return tuple(_packaged("lasot.json")["test"])


def _uav123_names(folder: Path) -> tuple[str, ...]:
    return tuple(_packaged("uav123.json")["UAV123"])


_EXTENSION = (
    *("atv", "badminton", "cosplay", "dancingshoe", "footbag", "frisbee", "jianzi", "lantern"),
    *("misc", "opossum", "paddle", "raccoon", "rhino", "skatingshoe", "wingsuit"),
)


def _extension_names(folder: Path) -> tuple[str, ...]:
    return tuple(f"{category}-{number}" for category in _EXTENSION for number in range(1, 11))


LASOT_RULES = {"official": OFFICIAL, "got10k": GOT10K}
OTB_RULES = {"official": OTB_PYTRACKING, "got10k": OTB_GOT10K}

BOX_SETS: dict[str, BoxSet[Any]] = {
    "lasot": BoxSet(
        "LaSOT testing set", ("lasot", "LaSOT", "LaSOTBenchmark"), 280, LASOT_RULES,
        _lasot_names, layouts.find_lasot, layouts.read_lasot, frames=685_360, cut=frozenset({"monkey-17"}),
    ),
    "lasot_ext": BoxSet(
        "LaSOT extension subset", ("lasot_ext", "LaSOT_ext", "lasot_extension_subset", "LaSOT_extension_subset"), 150,
        LASOT_RULES, _extension_names, layouts.find_lasot, layouts.read_lasot,
    ),
    "got10k_val": BoxSet(
        "GOT-10k val", ("got10k/val", "GOT-10k/val", "GOT10k/val", "val"), 180,
        {"official": GOT10K_VAL, "got10k": GOT10K_VAL},
        layouts.got10k_names, layouts.find_got10k, layouts.read_got10k, repeated=True,
    ),
    "otb100": BoxSet(
        "OTB100", ("otb", "OTB", "otb100", "OTB100", "OTB2015"), 100, OTB_RULES,
        layouts.otb_names, layouts.find_otb, layouts.read_otb,
    ),
    "uav123": BoxSet(
        "UAV123", ("uav123", "UAV123"), 123, {"official": UAV123_PYTRACKING, "got10k": UAV123_GOT10K},
        _uav123_names, layouts.find_uav123, layouts.read_uav123,
    ),
    "nfs": BoxSet(
        "NfS (30 fps)", ("nfs", "NfS", "Nfs", "NFS"), 100, OTB_RULES,
        layouts.no_names, layouts.find_nfs, layouts.read_nfs,
    ),
}  # fmt: skip
