"""Write and read archives: plain tar files, compressed, whose first member is a manifest with a SHA-256 of each file.

The bytes of an archive depend on the content of its files only: no times, owners or modes are in it. A reader treats
an archive as untrusted. Only regular files are accepted, under names that stay below the target; a file is used only if
it has the size and the SHA-256 of the manifest, whose sum of sizes is compared with the archive's own size and with the
free space first. The members are read here and not by ``tarfile``'s extraction, which follows extended headers and
links that no archive of ours has.
"""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, NamedTuple, cast

import zstandard

from benchmarks.transfer.archive_manifest import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    ArchiveKind,
    ArchiveManifest,
    ManifestFile,
    parse_manifest,
    require_safe_name,
)
from engine.progress_bar import ProgressBar
from foundation.errors import ArchiveError, StorageError, UserError
from foundation.files import atomic_writer, sha256_file
from foundation.package_versions import get_own_version
from foundation.storage.disk_space import find_existing_parent, require_space
from foundation.storage.leftovers import remove_abandoned
from foundation.storage.regular_files import open_regular
from foundation.storage.write_faults import find_storage_error, make_storage_error, name_write_faults

ARCHIVE_SUFFIXES = (".tar.zst", ".tar.gz", ".tar")
ZSTD_LEVEL = 9
CHUNK_BYTES = 1 << 20
MAX_WINDOW_BYTES = 1 << 27
"""Memory that the content of a foreign Zstandard file may ask for; a usual file asks for 8 MB."""

MAX_UNPACK_RATIO = 200
"""How many times larger than the archive its content may be; records and tables have 5 to 30."""

MIN_UNPACK_BYTES = 64_000_000
"""What an archive of any size may unpack to."""

_DAMAGE = (OSError, EOFError, zlib.error, zstandard.ZstdError)
"""What reading a damaged compressed file raises."""


class ArchivedFile(NamedTuple):
    """A file that goes into an archive: its name there, and where it is."""

    name: str
    path: Path


def is_archive(path: Path) -> bool:
    """Return whether a path is a file with the name of an archive."""
    return path.name.endswith(ARCHIVE_SUFFIXES) and path.is_file()


def write_archive(target: Path, kind: ArchiveKind, files: Sequence[ArchivedFile]) -> ArchiveManifest:
    """Write an archive in one piece; the suffix of its name selects the compression.

    Args:
        target: the new file, ``.tar.zst``, ``.tar.gz`` or ``.tar``.
        kind: what it holds.
        files: the files; their order does not change the archive.

    Raises:
        UserError: the target exists or cannot be written, or a file is a link, changes, has too long a name, or
            compresses so well that a reader would take the archive for a bomb.
    """
    if not target.name.endswith(ARCHIVE_SUFFIXES):
        raise UserError(f"{target} is no name for an archive; let it end in {', '.join(ARCHIVE_SUFFIXES[:2])} or .tar")
    if target.exists():
        remove_abandoned(target)  # of earlier attempts: no later command may ever write this name
        raise UserError(f"{target} exists and is not overwritten; remove it, or choose another name")
    files = sorted(files)
    with ProgressBar("hash", "files", len(files)) as progress:
        entries = [_describe_file(file, progress) for file in files]
    manifest = ArchiveManifest(kind=kind, made_by=f"bench {get_own_version()}", files=entries)
    if target.suffix == ".tar":  # how small the others get is not known
        require_space(target.parent, manifest.total_bytes, "the files")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # also leaves no trace if it is interrupted
        with atomic_writer(target) as raw:
            with _compress(raw, target) as stream:
                _write_members(stream, manifest, files, target.name)
            if manifest.total_bytes > _get_size_limit(raw.tell()):
                raise UserError(
                    f"{target} would unpack to more than {MAX_UNPACK_RATIO} times its size, which readers refuse; let "
                    "its name end in .tar"
                )
    except OSError as error:
        if (fault := find_storage_error(error, target)) is not None:
            raise fault from error
        raise UserError(f"cannot write {target} ({error}); choose another place") from error
    return manifest


def read_manifest(path: Path, kind: ArchiveKind) -> ArchiveManifest:
    """Read and check the manifest of an archive; no other member is read.

    Raises:
        ArchiveError: the file is not an archive of this kind, or its manifest must not be followed.
    """
    with _open_members(path) as members:
        return _next_manifest(members, kind, path)


def extract_archive(
    path: Path, kind: ArchiveKind, choose_target: Callable[[ManifestFile], Path | None]
) -> ArchiveManifest:
    """Write the files of an archive; each of them is compared with the manifest while it is written.

    Args:
        path: the archive.
        kind: the kind that is expected.
        choose_target: returns where a file is to be written, or ``None`` to leave it out. Folders are created;
            a file that exists is never overwritten.

    Raises:
        ArchiveError: the archive is damaged, or not what its manifest says. What was written up to then is there still.
    """
    with _open_members(path) as members:
        manifest = _next_manifest(members, kind, path)
        pending = {file.path: file for file in manifest.files}
        with ProgressBar(f"unpack {path.name}", "files", len(pending)) as progress:
            for name, size, chunks in members:
                entry = pending.pop(name, None)
                if entry is None or entry.bytes != size:
                    raise ArchiveError(
                        f"{path} has a member {name!r} that is not in its manifest in this size, or twice"
                    )
                _write_target(choose_target(entry), chunks, entry, path)
                progress.advance(name)
    if pending:
        raise ArchiveError(
            f"{path} lacks {min(pending)!r} and {len(pending) - 1} others of its manifest; copy it again"
        )
    return manifest


def require_space_for_all(planned: Iterable[tuple[Path, int]]) -> None:
    """Require room for files in several folders; those on one file system share what is free there.

    Args:
        planned: folder and size of each file.

    Raises:
        UserError: there is not enough.
    """
    sizes: dict[int, int] = {}
    folders: dict[int, Path] = {}
    for folder, num_bytes in planned:
        device = find_existing_parent(folder).stat().st_dev
        sizes[device] = sizes.get(device, 0) + num_bytes
        folders.setdefault(device, folder)
    for device, folder in folders.items():
        require_free_space(folder, sizes[device])


def require_free_space(folder: Path, num_bytes: int) -> None:
    """Require that a file system has room.

    Args:
        folder: a folder on it, which need not exist yet.
        num_bytes: what is to be written.

    Raises:
        UserError: it has not.
    """
    require_space(folder, num_bytes, "the files")


_Member = tuple[str, int, Iterator[bytes]]


def _describe_file(file: ArchivedFile, progress: ProgressBar) -> ManifestFile:
    try:
        require_safe_name(file.name, str(file.path))
    except ArchiveError as error:  # its sentence is about a foreign archive
        raise UserError(
            f"{file.path} has a name that no archive may hold (hidden, not UTF-8, longer than 255 bytes, or with a "
            "backslash, a colon or a control character); rename it"
        ) from error
    if file.path.is_symlink() or not file.path.is_file():
        raise UserError(f"{file.path} is a link or no regular file, and only files are packed; copy its content there")
    described = ManifestFile(path=file.name, bytes=file.path.stat().st_size, sha256=sha256_file(file.path))
    progress.advance(file.name)
    return described


def _write_members(stream: IO[bytes], manifest: ArchiveManifest, files: Sequence[ArchivedFile], title: str) -> None:
    """Write the manifest and the files that it states."""
    head = manifest.model_dump_json(indent=1).encode() + b"\n"
    _write_member(stream, MANIFEST_NAME, len(head), BytesIO(head))
    with ProgressBar(f"write {title}", "files", len(files)) as progress:
        for file, entry in zip(files, manifest.files, strict=True):
            with file.path.open("rb") as source:
                digest = _write_member(stream, file.name, entry.bytes, source)
            if digest != entry.sha256:
                raise UserError(f"{file.path} was changed while it was packed; pack again when nothing runs")
            progress.advance(file.name)
    stream.write(bytes(2 * tarfile.BLOCKSIZE))  # the end of a tar file


def _write_member(stream: IO[bytes], name: str, size: int, source: IO[bytes]) -> str:
    """Write header and content of a file, and return the SHA-256 of what was written."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    try:
        stream.write(member.tobuf(tarfile.USTAR_FORMAT, "utf-8"))
    except ValueError as error:  # a path over 255 bytes, a file of 8 GB
        raise UserError(
            f"{name} cannot be packed ({error}); a tar file takes paths up to 255 bytes and files below 8 GiB, so "
            "carry this one by other means"
        ) from error
    digest, left = hashlib.sha256(), size
    while left and (chunk := source.read(min(left, CHUNK_BYTES))):
        digest.update(chunk)
        stream.write(chunk)
        left -= len(chunk)
    stream.write(bytes(left + -size % tarfile.BLOCKSIZE))  # a file that became shorter is found by its hash
    return digest.hexdigest()


@contextmanager
def _compress(raw: IO[bytes], target: Path) -> Iterator[IO[bytes]]:
    if target.name.endswith(".tar"):
        yield raw
    elif target.name.endswith(".gz"):
        # without the name and the time that gzip would store
        with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=raw, mtime=0) as packed:
            yield cast("IO[bytes]", packed)
    else:
        with zstandard.ZstdCompressor(level=ZSTD_LEVEL).stream_writer(raw, closefd=False) as stream:
            yield stream


@contextmanager
def _open_members(path: Path) -> Iterator[Iterator[_Member]]:
    """Yield the members of an archive one after the other; what its bytes begin with tells the compression."""
    try:
        with ExitStack() as stack:
            raw: IO[bytes] = stack.enter_context(open_regular(path))
            start = raw.read(4)
            raw.seek(0)
            if start == b"\x28\xb5\x2f\xfd":
                decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
                raw = stack.enter_context(decompressor.stream_reader(raw, closefd=False))
            elif start[:2] == b"\x1f\x8b":
                raw = stack.enter_context(cast("IO[bytes]", gzip.GzipFile(fileobj=raw, mode="rb")))
            yield _iter_members(raw, path)
    except FileExistsError as error:
        raise ArchiveError(
            f"cannot unpack {path}: {error.filename} exists already; where case does not count in names, unpack it on "
            "another disk"
        ) from error
    except _DAMAGE as error:
        if isinstance(error, StorageError):  # of what is written: it says nothing about the archive
            raise
        raise ArchiveError(f"cannot unpack {path}: {error or type(error).__name__}; copy the archive again") from error


def _iter_members(stream: IO[bytes], path: Path) -> Iterator[_Member]:
    """Yield name, size and content of each member; its content is to be read before the next one is asked for."""
    while any(block := _read_exactly(stream, tarfile.BLOCKSIZE, path)):
        try:
            member = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.HeaderError, ValueError) as error:
            raise ArchiveError(f"{path} is not an archive of bench, or is damaged ({error}); copy it again") from error
        if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.size < 0:
            raise ArchiveError(
                f"{path} has a member {member.name!r} that is no plain file (a link, device, folder or extended "
                "header); nothing of it is used, do not trust this archive"
            )
        yield member.name, member.size, _iter_chunks(stream, member.size, path)
        _read_exactly(stream, -member.size % tarfile.BLOCKSIZE, path)


def _iter_chunks(stream: IO[bytes], size: int, path: Path) -> Iterator[bytes]:
    for start in range(0, size, CHUNK_BYTES):
        yield _read_exactly(stream, min(CHUNK_BYTES, size - start), path)


def _read_exactly(stream: IO[bytes], size: int, path: Path) -> bytes:
    parts = []
    while size and (part := stream.read(size)):
        parts.append(part)
        size -= len(part)
    if size:
        raise ArchiveError(f"{path} is cut off; copy it again")
    return b"".join(parts)


def _create_file(target: Path) -> IO[bytes]:
    """Create a file that is not there yet, and its folder."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return target.open("xb")
    except FileExistsError:
        raise
    except OSError as error:
        raise make_storage_error(target, error) from error


def _next_manifest(members: Iterator[_Member], kind: ArchiveKind, path: Path) -> ArchiveManifest:
    name, size, chunks = next(members, ("", 0, iter(())))
    if name != MANIFEST_NAME or size > MAX_MANIFEST_BYTES:
        raise ArchiveError(f"{path} is not an archive of bench: its first member is not a manifest of at most 256 MB")
    limit = _get_size_limit(path.stat().st_size)
    manifest = None if size > limit else parse_manifest(b"".join(chunks), kind, str(path))
    # each member has the size that the manifest states, once, so this bounds all that is written
    if manifest is None or manifest.total_bytes > limit:
        raise ArchiveError(
            f"{path} would unpack to more than {MAX_UNPACK_RATIO} times its size, as a bomb does; nothing was "
            "unpacked, do not trust this archive"
        )
    return manifest


def _get_size_limit(archive_bytes: int) -> int:
    """Return to how many bytes an archive may unpack."""
    return max(MIN_UNPACK_BYTES, MAX_UNPACK_RATIO * archive_bytes)


def _write_target(target: Path | None, chunks: Iterator[bytes], entry: ManifestFile, path: Path) -> None:
    digest = hashlib.sha256()
    with ExitStack() as stack:
        file: IO[bytes] | None = None
        if target is not None:
            file = stack.enter_context(_create_file(target))
        for chunk in chunks:
            digest.update(chunk)
            if target is not None and file is not None:
                with name_write_faults(target):
                    file.write(chunk)
                    file.flush()
    if digest.hexdigest() != entry.sha256:
        raise ArchiveError(f"{entry.path} in {path} does not have the SHA-256 of the manifest; copy the archive again")
