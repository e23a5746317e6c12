"""List what a machine without network needs for some tasks and backbones, and what of it is here. Downloads nothing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from backbones.card import BackboneCard
from backbones.registry import get_card
from backbones.weight_sources.hub import HUB_SCHEME, ask_hub
from backbones.weights import find_card_weights
from benchmarks.task_registry import TASKS
from engine.data.data_sources import DATA_SOURCES, TRAINING_SOURCES, DataSource
from foundation.display_text import format_one_line
from foundation.errors import BenchError, NetworkError, UserError
from foundation.files import iter_files, sha256_unchanged_file


class RequiredWeights(NamedTuple):
    """The weights that a backbone's card names.

    Attributes:
        backbone: the card.
        uri, recipe, source, licence: as on the card.
        sha256: of the file that is here, else as the card or the hub states it; ``None`` if neither is known.
        num_bytes: size of the file that is here, else as the hub states it; ``None`` if neither is known.
        file: the file that is here.
        place: the folder in which bench looks for it.
    """

    backbone: str
    uri: str
    recipe: str
    source: str
    licence: str
    sha256: str | None
    num_bytes: int | None
    file: Path | None
    place: Path


class RequiredData(NamedTuple):
    """The data set of a task.

    Attributes:
        task: the task, or the task and one of the sets that it trains on.
        source, terms: where it comes from and its licence.
        download_bytes: size of the official archives; 0 if nothing is downloaded, ``None`` if not known.
        num_bytes, num_files: size and number of the files that are here.
        folder: the folder that is here.
        place: the folder in which bench looks for it.
    """

    task: str
    source: str
    terms: str
    download_bytes: int | None
    num_bytes: int | None
    num_files: int | None
    folder: Path | None
    place: Path


class Requirements(NamedTuple):
    """What is needed: weights (backbones that start from random ones need none) and data sets."""

    weights: list[RequiredWeights]
    data: list[RequiredData]

    @property
    def bytes_here(self) -> int:
        """Return the size of everything that is here; a file that several backbones share counts once."""
        weights = {each.file: each.num_bytes or 0 for each in self.weights if each.file is not None}
        return sum(weights.values()) + sum(each.num_bytes or 0 for each in self.data)

    @property
    def bytes_missing(self) -> int:
        """Return the size of what is not here, as far as it is known."""
        weights = sum({each.uri: each.num_bytes or 0 for each in self.weights if each.file is None}.values())
        return weights + sum(each.download_bytes or 0 for each in self.data if each.folder is None)

    @property
    def missing(self) -> list[str]:
        """Return the names of weights and data that are not here."""
        data = [f"data of {each.task}" for each in self.data if each.folder is None and each.download_bytes != 0]
        return [f"weights of {each.backbone}" for each in self.weights if each.file is None] + data


def list_requirements(tasks: Iterable[str], backbones: Iterable[str], data_root: Path) -> Requirements:
    """List what some tasks and backbones need.

    Args:
        tasks: names of tasks.
        backbones: names of backbones.
        data_root: folder of the data sets.

    Raises:
        UserError: names that are not known, all of them in one sentence.
    """
    weights: list[RequiredWeights] = []
    data, faults = [], []
    hub_answers = True  # asked again for every backbone, a dead network would cost seconds each time
    for name in dict.fromkeys(backbones):
        try:
            described = _describe_weights(name, get_card(name))
            if described is not None and described.file is None and hub_answers:
                described, hub_answers = _complete_from_hub(described)
            weights += [described] if described is not None else []
        except BenchError as error:
            faults.append(str(error))
    for name in dict.fromkeys(tasks):
        try:
            TASKS.get(name)
            data.append(_describe_data(name, DATA_SOURCES.get(name), data_root))
            training = TRAINING_SOURCES.get(name, {})
            data += [_describe_data(label, source, data_root) for label, source in training.items()]
        except BenchError as error:
            faults.append(str(error))
    if faults:
        raise UserError("; ".join(faults))
    return Requirements(weights, data)


def _describe_weights(name: str, card: BackboneCard) -> RequiredWeights | None:
    if card.weights is None:
        return None
    found = find_card_weights(card)
    stated = card.weights
    sha256 = sha256_unchanged_file(found.file) if found.file else stated.sha256
    size = found.file.stat().st_size if found.file else None
    facts = (stated.uri, stated.recipe, stated.source, stated.licence)
    return RequiredWeights(name, *facts, sha256, size, found.file, found.place)


def _complete_from_hub(weights: RequiredWeights) -> tuple[RequiredWeights, bool]:
    """Return the entry with what the hub says of a file that is not here, and whether the hub answered."""
    scheme, _, repo_id = weights.uri.partition(":")
    if scheme != HUB_SCHEME:
        return weights, True
    try:
        stated = ask_hub(repo_id)
    except NetworkError:  # size and hash stay unknown, and the list says so
        return weights, False
    return weights._replace(num_bytes=stated.num_bytes, sha256=weights.sha256 or stated.sha256), True


def _describe_data(task: str, source: DataSource | None, root: Path) -> RequiredData:
    if source is None:  # your own images, or a plug-in's
        text = "your own data, or those of a plug-in, which bench does not know"
        return RequiredData(task, text, "not known", None, None, None, None, root)
    folder = source.find_folder(root)
    sizes = [path.stat().st_size for path in iter_files(folder)] if folder else []
    return RequiredData(
        task,
        source.origin,
        source.terms,
        source.download_bytes,
        sum(sizes) if folder else None,
        len(sizes) if folder else None,
        folder,
        folder or root / next(iter(source.places), ""),
    )


def describe_requirements(needed: Requirements) -> str:
    """Return the list as text, with sums."""
    lines = []
    for each in needed.weights:
        state = (
            f"here, {_format_size(each.num_bytes)}: {each.file}"
            if each.file
            else f"not here, {_format_size(each.num_bytes)}, looked in {each.place}"
        )
        lines += [
            f"weights of {each.backbone}: {state}",
            f"  {each.uri}; {each.recipe}; {each.source}; licence: {each.licence}",
            f"  sha256: {each.sha256 or 'not known'}",
        ]
    for item in needed.data:
        if item.folder:
            state = f"here, {_format_size(item.num_bytes)} in {item.num_files} files: {item.folder}"
        elif item.download_bytes == 0:
            state = "nothing to fetch"
        else:
            state = f"not here, {_format_size(item.download_bytes)} to download; looked for {item.place}"
        lines += [f"data of {item.task}: {state}", f"  {item.source}; terms: {item.terms}"]
    unknown = f"{_format_size(needed.bytes_missing)} as far as known"
    here, missing = _format_size(needed.bytes_here), ", ".join(needed.missing) or "nothing"
    return "\n".join(map(format_one_line, [*lines, f"here: {here}; missing: {missing} ({unknown})"]))


def convert_requirements(needed: Requirements) -> dict[str, object]:
    """Return the list as plain data for JSON."""
    return {
        "weights": [
            {**each._asdict(), "file": _to_text(each.file), "place": str(each.place)} for each in needed.weights
        ],
        "data": [{**each._asdict(), "folder": _to_text(each.folder), "place": str(each.place)} for each in needed.data],
        "bytes_here": needed.bytes_here,
        "bytes_missing": needed.bytes_missing,
        "missing": needed.missing,
    }


def _to_text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _format_size(num_bytes: int | None) -> str:
    return "size not known" if num_bytes is None else f"{num_bytes / 1e6:,.1f} MB"
