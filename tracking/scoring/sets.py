"""The test sets with public ground truth: their sequences, rules and layouts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from foundation.errors import ConfigError, DataError
from tracking.data.boxes import has_area
from tracking.data.label_digests import LASOT_DIGESTS_FILE, SequenceLabels, find_changed_labels, load_label_digests
from tracking.data.readers.set_folders import describe_archives, list_set_folders, list_wrapped_folders
from tracking.scoring import layouts
from tracking.scoring.ground_truth import SequenceGroundTruth, format_name_list
from tracking.scoring.rules import (
    GOT10K_VAL_OFFICIAL,
    LASOT_GOT10K,
    LASOT_OFFICIAL,
    OTB_GOT10K,
    OTB_PYTRACKING,
    UAV123_GOT10K,
    UAV123_PYTRACKING,
    ScoringRules,
)


class LoadedGroundTruth(NamedTuple):
    """The ground truth that was found.

    Attributes:
        ground_truths: the sequences.
        sequence_names: all names of the official set; empty if not known.
        deviations: how the ground truth differs from the official set, one sentence each.
        folder: folder of the set.
        places: where each sequence's annotation is.
    """

    ground_truths: list[SequenceGroundTruth]
    sequence_names: tuple[str, ...]
    deviations: tuple[str, ...]
    folder: Path
    places: Mapping[str, Any]


LocationT = TypeVar("LocationT")


@dataclass(frozen=True)
class PublicTestSet(Generic[LocationT]):
    """A test set with public ground truth.

    Attributes:
        title: name of the set, as in plots.
        folder_names: names that its folder may have below the data root.
        expected_sequences: number of sequences in the complete set.
        rules: the rules by their name for ``--rules``; the first are the default.
        list_sequences: returns the official sequence names, given the folder; empty if there is no list.
        find_annotations: returns where each sequence's annotation is, given the folder and the official names.
        read_annotation: returns the ground truth of one sequence, given its name and what ``find_annotations``
            returned.
        expected_frames: number of frames of the complete set, if known.
        official_labels: file with digests of the official ground truth, where bench has one.
        truncated_sequences: sequences whose results may be longer than the ground truth and are cut to it.
        has_repetitions: results are stored in one folder per sequence and one file per repetition (GOT-10k).
        field_prefix: what OSTrack and pytracking put before the name of a sequence, ``uav_`` for ``uav_bike1``.
    """

    title: str
    folder_names: tuple[str, ...]
    expected_sequences: int
    rules: Mapping[str, ScoringRules]
    list_sequences: Callable[[Path], tuple[str, ...]]
    find_annotations: Callable[[Path, tuple[str, ...]], Mapping[str, LocationT]]
    read_annotation: Callable[[str, LocationT], SequenceGroundTruth]
    expected_frames: int | None = None
    official_labels: Path | None = None
    truncated_sequences: frozenset[str] = field(default=frozenset())
    has_repetitions: bool = False
    field_prefix: str = ""

    def get_field_name(self, sequence_name: str) -> str:
        """Return the name under which OSTrack and pytracking store the results of a sequence.

        They have ``Jogging_1`` for the first target of OTB's video, and ``uav_bike1`` and ``nfs_bird`` for other sets.

        Args:
            sequence_name: name of the sequence.
        """
        return self.field_prefix + re.sub(r"\.([12])$", r"_\1", sequence_name)

    def select_rules(self, rules_name: str | None) -> ScoringRules:
        """Return the rules of a name, or the default rules.

        Args:
            rules_name: a name for ``--rules``, or ``None``.

        Raises:
            ConfigError: the set has no such rules.
        """
        if rules_name is not None and rules_name not in self.rules:
            raise ConfigError(f"{self.title} has no rules {rules_name!r}; choose from: {', '.join(self.rules)}")
        return self.rules[rules_name or next(iter(self.rules))]

    def load_ground_truth(self, root: Path, partial: bool) -> LoadedGroundTruth:
        """Read the ground truth in the data root or in the set's folder below it.

        Args:
            root: the data root.
            partial: accept a part of the set.

        Raises:
            DataError: there is no ground truth, a file is damaged, or the set is not complete and ``partial`` is off.
        """
        folder, names, found = self._locate_annotations(root)
        # in the order of the official list, or everything found if nothing of the list is there
        chosen = [name for name in names if name in found] or list(found)
        missing = [name for name in names if name not in found]
        departures = []
        if missing and len(missing) == len(names):
            departures.append(f"none of the {len(chosen)} sequences in {folder} is in the official list")
            # sequences of another set: the official names would all be reported as missing
            names = ()
        elif missing:
            departures.append(
                f"ground truth of {len(missing)} sequences is not in {folder}: {format_name_list(missing)}"
            )
        elif len(chosen) != self.expected_sequences:
            departures.append(
                f"{folder} has ground truth of {len(chosen)} sequences, {self.title} has {self.expected_sequences}"
            )
        truths = [self.read_annotation(name, found[name]) for name in chosen]
        frames = sum(len(truth.boxes) for truth in truths)
        # complete by name, but a file may still have been cut
        if not departures and self.expected_frames not in (None, frames):
            departures.append(
                f"ground truth in {folder} has {frames:,} frames, {self.title} has {self.expected_frames:,}"
            )
        if self.official_labels is not None:
            labels = (SequenceLabels(t.name, t.boxes, t.absent | ~has_area(t.boxes)) for t in truths)
            departures += find_changed_labels(labels, load_label_digests(self.official_labels))
        if departures and not partial:
            raise DataError(
                f"{'; '.join(departures)}; complete the set from the official annotation, or score what is there with "
                "--partial"
            )
        return LoadedGroundTruth(truths, names, tuple(departures), folder, found)

    def _locate_annotations(self, root: Path) -> tuple[Path, tuple[str, ...], Mapping[str, LocationT]]:
        """Find the set's folder and annotation: first the official sequences, else whatever has the set's layout.

        Returns:
            The folder, the official names, and the location of each annotation.

        Raises:
            DataError: there is none.
        """
        # the data root itself last, because zips in it may belong to other sets
        named = [*list_set_folders(root, self.folder_names), *([root] if root.is_dir() else [])]
        for listed_only in (True, False):
            # a single folder in the root may be another set, so it must hold sequences of this one
            for folder in [*named, *(list_wrapped_folders(root) if listed_only else ())]:
                names = self.list_sequences(folder)
                found = self.find_annotations(folder, names if listed_only else ())
                if found:
                    return folder, names, found
        places = ", ".join(str(root / name) for name in self.folder_names)
        raise DataError(
            f"there is no ground truth of {self.title} in {root} (nor in {places}); name its folder with --data-root"
            f"{describe_archives(named)}"
        )


def _read_got10k_list(file_name: str) -> Any:
    """Read a list of sequences that ships with the got10k package, without importing the package."""
    # importing it takes long and loads matplotlib
    spec = find_spec("got10k")
    assert spec is not None and spec.submodule_search_locations is not None
    return json.loads((Path(spec.submodule_search_locations[0]) / "datasets" / file_name).read_text())


def _list_lasot_sequences(folder: Path) -> tuple[str, ...]:
    return tuple(_read_got10k_list("lasot.json")["test"])


def _list_uav123_sequences(folder: Path) -> tuple[str, ...]:
    return tuple(_read_got10k_list("uav123.json")["UAV123"])


# got10k has no list of the extension; these are its categories
_LASOT_EXT_CATEGORIES = (
    *("atv", "badminton", "cosplay", "dancingshoe", "footbag", "frisbee", "jianzi", "lantern"),
    *("misc", "opossum", "paddle", "raccoon", "rhino", "skatingshoe", "wingsuit"),
)


def _list_lasot_ext_sequences(folder: Path) -> tuple[str, ...]:
    """Return the names of the LaSOT extension: 15 categories with 10 sequences each."""
    return tuple(f"{category}-{number}" for category in _LASOT_EXT_CATEGORIES for number in range(1, 11))


LASOT_RULES_BY_NAME = {"official": LASOT_OFFICIAL, "got10k": LASOT_GOT10K}
OTB_RULES_BY_NAME = {"official": OTB_PYTRACKING, "got10k": OTB_GOT10K}

# the order of each entry: title, folder names, sequences, rules, list, find, read
PUBLIC_TEST_SETS: dict[str, PublicTestSet[Any]] = {
    # the ground truth of monkey-17 ends before its frames do
    "lasot": PublicTestSet(
        "LaSOT testing set", ("lasot", "LaSOT", "LaSOTBenchmark"), 280, LASOT_RULES_BY_NAME,
        _list_lasot_sequences, layouts.find_lasot_annotations, layouts.read_lasot_annotation,
        expected_frames=685_360, official_labels=LASOT_DIGESTS_FILE, truncated_sequences=frozenset({"monkey-17"}),
    ),
    "lasot_ext": PublicTestSet(
        "LaSOT extension subset", ("lasot_ext", "LaSOT_ext", "lasot_extension_subset", "LaSOT_extension_subset"), 150,
        LASOT_RULES_BY_NAME, _list_lasot_ext_sequences, layouts.find_lasot_annotations, layouts.read_lasot_annotation,
    ),
    "got10k_val": PublicTestSet(
        "GOT-10k val", ("got10k/val", "GOT-10k/val", "GOT10k/val", "val"), 180,
        {"official": GOT10K_VAL_OFFICIAL, "got10k": GOT10K_VAL_OFFICIAL},
        layouts.list_got10k_sequences, layouts.find_got10k_annotations, layouts.read_got10k_annotation,
        has_repetitions=True,
    ),
    "otb100": PublicTestSet(
        "OTB100", ("otb", "OTB", "otb100", "OTB100", "OTB2015"), 100, OTB_RULES_BY_NAME,
        layouts.list_otb_sequences, layouts.find_otb_annotations, layouts.read_otb_annotation,
    ),
    "uav123": PublicTestSet(
        "UAV123", ("uav123", "UAV123"), 123, {"official": UAV123_PYTRACKING, "got10k": UAV123_GOT10K},
        _list_uav123_sequences, layouts.find_uav123_annotations, layouts.read_uav123_annotation,
        field_prefix="uav_",
    ),
    "nfs": PublicTestSet(
        "NfS (30 fps)", ("nfs", "NfS", "Nfs", "NFS"), 100, OTB_RULES_BY_NAME,
        layouts.list_no_sequences, layouts.find_nfs_annotations, layouts.read_nfs_annotation,
        field_prefix="nfs_",
    ),
}  # fmt: skip
