"""Carry weights, cards and data to a machine without network: ``bench get --pack`` and ``bench get --unpack``.

Nothing is downloaded for a pack: it holds what is here. Below its root are ``weights/`` ($BENCH_WEIGHTS), ``cards/``
($BENCH_CARDS), ``hub/`` (the cache of the Hugging Face hub) and ``data/`` (the data root), each as it is restored.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import NamedTuple

from backbones.card import WEIGHT_SUFFIXES
from backbones.registry import BACKBONES
from backbones.user_cards import CARD_NAME_PATTERN, get_card_path, list_user_cards
from backbones.weight_sources.hub import HUB_FILE
from benchmarks.transfer.archive_manifest import ArchiveManifest, ManifestFile
from benchmarks.transfer.archives import (
    ArchivedFile,
    extract_archive,
    read_manifest,
    require_space_for_all,
    write_archive,
)
from benchmarks.transfer.locked_scratch import open_locked_scratch
from benchmarks.transfer.requirements import RequiredData, RequiredWeights, Requirements
from foundation.display_text import format_one_line, shorten_value
from foundation.environment import get_cards_dir, get_weights_dir
from foundation.errors import ArchiveError, UserError
from foundation.files import iter_files, sha256_file
from foundation.storage.regular_files import read_regular
from results.records.strict_model import load_json

MAX_CARD_BYTES = 1_000_000

_PATTERNS = {
    "weights": rf"[^/]+({'|'.join(re.escape(suffix) for suffix in WEIGHT_SUFFIXES)})",
    "cards": rf"{CARD_NAME_PATTERN.pattern}\.json",
    "hub": rf"models--[^/]+/(refs/main|snapshots/[^/]+/{re.escape(HUB_FILE)})",
    "data": r".+",
}
"""What a pack may bring, by the folder below its root."""


class PackedSupplies(NamedTuple):
    """What was packed: the archive, its SHA-256, number and size of its files, and what is not in it, in words."""

    archive: Path
    sha256: str
    num_files: int
    num_bytes: int
    left_out: list[str]


class RestoredSupplies(NamedTuple):
    """What an archive brought: the files that were written, and the number that were there already."""

    written: list[Path]
    num_present: int


def pack_supplies(needed: Requirements, archive: Path, *, with_data: bool = False) -> PackedSupplies:
    """Pack the weights that are here, the cards that the user added for them and, if asked, the data.

    Args:
        needed: what the other machine needs.
        archive: the new file.
        with_data: pack data sets too. Their terms may forbid to pass them on.

    Raises:
        UserError: nothing of it is here, or the archive exists or cannot be written.
    """
    files: dict[str, Path] = {}
    for weights in needed.weights:
        files |= _list_weight_files(weights)
    if with_data:
        for data in needed.data:
            files |= _list_data_files(data)
    left_out = [f"{name}: not here" for name in needed.missing]
    if not with_data:
        left_out += [f"data of {each.task}: not asked for (--with-data)" for each in needed.data if each.folder]
    if not files:
        raise UserError(f"there is nothing to pack ({'; '.join(left_out) or 'nothing is needed'})")
    manifest = write_archive(archive, "offline", [ArchivedFile(name, path) for name, path in files.items()])
    return PackedSupplies(archive, sha256_file(archive), len(manifest.files), manifest.total_bytes, left_out)


def unpack_supplies(archive: Path, data_root: Path) -> RestoredSupplies:
    """Restore the files of a pack; the archive is treated as untrusted.

    Paths, space and files that are here already are checked first. Then everything is unpacked beside its place and
    compared with the manifest, and only at the end renamed into place, file by file. After an interruption the same
    command goes on.

    Args:
        archive: the pack.
        data_root: folder of the data sets.

    Raises:
        ArchiveError: the archive is damaged or must not be unpacked.
        UserError: a file that is here has another content, or there is not enough space. Nothing was written.
    """
    roots = _get_roots(data_root)
    targets = _choose_targets(read_manifest(archive, "offline"), roots, archive)
    new = {name: place for name, place in targets.items() if place.needs_copy}
    require_space_for_all([(place.root, place.file.bytes) for place in new.values()])
    with ExitStack() as stack:
        staging = {root: stack.enter_context(_open_staging(root)) for root in {place.root for place in new.values()}}

        def choose_target(file: ManifestFile) -> Path | None:
            place = new.get(file.path)
            return staging[place.root] / file.path if place else None

        manifest = extract_archive(archive, "offline", choose_target)
        if manifest.files != [place.file for place in targets.values()]:
            raise ArchiveError(f"{archive} was changed while it was read; nothing was written")
        _require_cards_without_code(
            {name: staging[place.root] / name for name, place in new.items() if name.startswith("cards/")}, archive
        )
        # a reference of the hub's cache says that a snapshot is there, and a card that its weights are
        for name in sorted(new, key=lambda name: ("/refs/" in name, name.startswith("cards/"), name)):
            _move_file(staging[new[name].root] / name, new[name].target)
    return RestoredSupplies([place.target for place in new.values()], len(targets) - len(new))


def _require_cards_without_code(cards: Mapping[str, Path], archive: Path) -> None:
    """Require that cards name no module that would be imported with them, unless a plug-in here brings it.

    Args:
        cards: the unpacked files by their names in the archive.
        archive: the pack, for messages.

    Raises:
        ArchiveError: a card cannot be read.
        UserError: a card names another module.
    """
    plugins = {point.module.partition(".")[0] for point in entry_points(group=BACKBONES.entry_point_group)}
    for name, path in cards.items():
        try:
            content = load_json(read_regular(path, MAX_CARD_BYTES).decode())
        except (OSError, ValueError) as error:
            raise ArchiveError(f"{name!r} in {archive} is not a card ({error}); nothing was written") from error
        module = content.get("module") if isinstance(content, dict) else None
        if module and str(module).partition(".")[0] not in plugins:
            raise UserError(
                f"{name} in {archive} is about a backbone of the module {shorten_value(module)}, which no installed "
                "plug-in brings; nothing was written: install that plug-in first"
            )


class _Place(NamedTuple):
    """Where a file of a pack goes: the folder of its kind, the path, and whether it is not there yet."""

    file: ManifestFile
    root: Path
    target: Path
    needs_copy: bool


def _get_roots(data_root: Path) -> dict[str, Path]:
    from huggingface_hub.constants import HF_HUB_CACHE

    return {"weights": get_weights_dir(), "cards": get_cards_dir(), "hub": Path(HF_HUB_CACHE), "data": data_root}


def _list_weight_files(weights: RequiredWeights) -> dict[str, Path]:
    files: dict[str, Path] = {}
    if weights.backbone in list_user_cards():
        path = get_card_path(weights.backbone)
        files[f"cards/{path.name}"] = path
    if weights.file is None:
        return files
    if not weights.uri.startswith("hf-hub:"):
        # a link in the folder of weights is followed: it is the user's own, and the content is what is meant
        return files | {f"weights/{weights.file.name}": weights.file.resolve()}
    # .../models--OWNER--NAME/snapshots/REVISION/FILE, a link to a blob; refs/main names the revision
    repository = weights.file.parents[2]
    inside = f"hub/{repository.name}"
    files[f"{inside}/snapshots/{weights.file.parent.name}/{weights.file.name}"] = weights.file.resolve()
    if (repository / "refs" / "main").is_file():
        files[f"{inside}/refs/main"] = repository / "refs" / "main"
    return files


def _list_data_files(data: RequiredData) -> dict[str, Path]:
    if data.folder is None:
        return {}
    # links are followed here too: data sets are often linked into place
    return {
        f"data/{data.folder.name}/{path.relative_to(data.folder).as_posix()}": path.resolve()
        for path in iter_files(data.folder)
    }


def _choose_targets(manifest: ArchiveManifest, roots: dict[str, Path], archive: Path) -> dict[str, _Place]:
    """Return the place of each file.

    Raises:
        ArchiveError: a file belongs to no known place.
        UserError: files are here with other content; all of them are named.
    """
    targets, differing = {}, []
    for file in manifest.files:
        kind, _, rest = file.path.partition("/")
        if kind not in roots or not re.fullmatch(_PATTERNS[kind], rest):
            raise ArchiveError(
                f"{archive} has a file {file.path!r}, which is none of weights, card, hub file or data; nothing was "
                "written, do not trust this archive"
            )
        target = roots[kind] / rest
        there = target.exists() or target.is_symlink()
        if there and not (target.is_file() and _is_equal(target, file)):
            differing.append(str(target))
        targets[file.path] = _Place(file, roots[kind], target, not there)
    if differing:
        more = f" and {len(differing) - 5} more" if len(differing) > 5 else ""
        raise UserError(
            f"{', '.join(differing[:5])}{more} {'is' if len(differing) == 1 else 'are'} here with another content than "
            f"in {archive}; nothing was written: move them away if those of the archive are meant"
        )
    return targets


def _is_equal(path: Path, file: ManifestFile) -> bool:
    return path.stat().st_size == file.bytes and sha256_file(path) == file.sha256


@contextmanager
def _open_staging(root: Path) -> Iterator[Path]:
    """Yield an empty hidden folder in the folder of a kind of file, which is removed at the end."""
    with open_locked_scratch(
        root / ".bench-unpack",
        is_busy=f"another process unpacks into {root}; wait for it",
        cannot_write=f"cannot write to {root} ({{error}}); make it writable, or name another folder",
    ) as staging:
        shutil.rmtree(staging, ignore_errors=True)  # what a killed process left
        staging.mkdir()
        yield staging


def _move_file(source: Path, target: Path) -> None:
    """Put a file in place, unless another process has put one there meanwhile."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        try:
            target.hardlink_to(source)  # fails where a file is, which a rename would replace
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            if target.exists():
                raise FileExistsError from None
            source.replace(target)
    except FileExistsError as error:
        raise UserError(f"{target} was written by another process meanwhile; run the same command again") from error


def describe_packed(packed: PackedSupplies) -> str:
    """Return what was packed as text."""
    lines = [f"left out: {text}" for text in packed.left_out]
    size = f"{packed.num_files} files, {packed.num_bytes / 1e6:,.1f} MB unpacked"
    return "\n".join(map(format_one_line, [*lines, f"{packed.archive}: {size}", f"sha256: {packed.sha256}"]))


def describe_restored(restored: RestoredSupplies) -> str:
    """Return what was restored as text."""
    lines = [str(path) for path in restored.written[:20]]
    more = len(restored.written) - len(lines)
    lines += [f"and {more} more"] if more else []
    return "\n".join(
        map(
            format_one_line,
            [*lines, f"{len(restored.written)} files written, {restored.num_present} were here already"],
        )
    )
