"""SHA-256 digests of source code that no version number stands for: plug-ins, and modules of the user's own.

Bench's code, Python's, and that of the libraries in every record are known by their versions. Other code is not: a
plug-in is edited and keeps its name. So its files are hashed, and those of all that it imports, found by reading the
source and never by importing it. No absolute path is part of a digest: a copy elsewhere has the same one.
"""

from __future__ import annotations

import ast
import hashlib
import sys
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.machinery import ModuleSpec
from importlib.metadata import PathDistribution
from importlib.util import spec_from_file_location
from pathlib import Path
from pkgutil import get_importer
from typing import NamedTuple

from foundation.files import iter_files, sha256_unchanged_file

OWN_ROOMS = frozenset(
    {
        *("foundation", "backbones", "results", "engine", "deployment", "pretraining", "classification"),
        *("segmentation", "detection", "tracking", "analysis", "benchmarks", "litevit_bench"),
    }
)
RECORDED_LIBRARIES = frozenset({"torch", "torchvision", "timm", "numpy"})
"""Every record holds the versions of these."""

MAX_SOURCE_FILES = 20_000
MAX_SOURCE_BYTES = 1 << 30
"""A module with more files or bytes than these, its imports included, counts as one whose source was not found."""


class SourceDigest(NamedTuple):
    """The digest of some modules' source.

    Attributes:
        sha256: 64 hexadecimal digits.
        parts: what was hashed, sorted: "package/file.py SHA-256" of a file, "name==version" of a library.
        packages: dotted names of the packages, and of the modules in none, that it covers.
        is_current: whether the files are still those that this process saw first; once a module is imported, a later
            edit is not what runs here.
    """

    sha256: str
    parts: tuple[str, ...]
    packages: frozenset[str]
    is_current: bool

    def covers_module(self, name: str) -> bool:
        """Return whether a module's code is in the digest, by its content or by the version of its library."""
        words = name.split(".")
        return any(".".join(words[:count]) in self.packages for count in range(1, len(words) + 1))


class _SourcePlace(NamedTuple):
    """Where the source of a module lies.

    Attributes:
        name: dotted name of the package, or of the module if it is in no package.
        path: the package's folder, or the module's file.
        main_file: the package's ``__init__``, or the module's file.
    """

    name: str
    path: Path
    main_file: Path

    def name_file(self, path: Path) -> str:
        """Return a file's name in a digest: by the name of its module, not by the folder that it happens to be in."""
        words = self.name.split(".")
        inside = path.relative_to(self.path).parts if path != self.path else (path.name,)
        return "/".join([*(words[:-1] if path == self.path else words), *inside])


class _Release(NamedTuple):
    """An installed distribution; its version says what its code is only if it came from a package index."""

    name: str
    version: str
    from_index: bool


class _NoSourceError(Exception):
    """A module has no files that could be hashed."""


_FIRST_PARTS: dict[tuple[str, Path], list[str]] = {}
"""Files of each package or module as this process saw them first, by its name and place."""

_IMPORTS: dict[tuple[str, str], tuple[str, ...]] = {}
"""Names that a file imports, by its package and SHA-256: parsing takes most of the time."""


def hash_module_sources(*plugins: str, named: Iterable[str] = ()) -> SourceDigest | None:
    """Hash the source of modules and of all that they import, without importing anything.

    Of a package all files count (a table that it reads too), hidden ones and ``__pycache__`` left out; of a single
    module its file. Imports anywhere in these files are followed, but only where they are written as such, or as a
    plain text given to ``import_module``. Of what they import, local files count by content as well: those of a folder
    on Python's path, of an editable installation, or of a distribution that was installed from a folder or a
    repository. Of a distribution from a package index the version counts. The standard library, bench and the
    libraries that every record names (``RECORDED_LIBRARIES``) do not count.

    Args:
        plugins: dotted names of modules that count by content, however they were installed.
        named: dotted names of modules that count as if a plug-in imported them.

    Returns:
        ``None`` if there is no source: a module that does not exist, was typed in, is frozen, or is in a zip file; a
        file that cannot be read; more than ``MAX_SOURCE_FILES`` or ``MAX_SOURCE_BYTES``.
    """
    roots = {name for name in (*plugins, *named) if not is_library_module(name)}
    try:
        places = _collect_places(roots, roots.intersection(plugins))
    except (_NoSourceError, OSError):
        return None
    changed = [place for place, lines in places.items() if not _is_as_first_seen(place, lines)]
    parts = tuple(sorted(line for lines in places.values() for line in lines))
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return SourceDigest(digest, parts, frozenset(place.name for place in places), not changed)


def is_library_module(name: str) -> bool:
    """Return whether a module's code is known without a look: bench's, Python's, or of ``RECORDED_LIBRARIES``.

    Args:
        name: dotted name of the module; it need not be imported.
    """
    top = name.partition(".")[0]
    if top in OWN_ROOMS or top in RECORDED_LIBRARIES:
        return True
    return top in sys.stdlib_module_names and not _is_hidden_by_file(top)


@lru_cache(maxsize=1024)
def _is_hidden_by_file(top: str) -> bool:
    """Whether a name of the standard library stands for a file of somebody else's that comes first on the path."""
    try:
        spec = _find_spec(top, None)
    except _NoSourceError:
        return False
    path = Path(spec.origin or "") if spec and spec.has_location else Path()
    # the folder below which Python has its own modules is that of the base installation, in a virtual environment too
    homes = (Path(sysconfig.get_path(key)).resolve() for key in ("stdlib", "platstdlib"))
    return path.is_file() and not any(path.resolve().is_relative_to(home) for home in homes)


def _is_as_first_seen(place: _SourcePlace, lines: list[str]) -> bool:
    """Whether a package or module that is imported has the files that it had when this process looked first."""
    is_loaded = place.name in sys.modules
    first = _FIRST_PARTS.get((place.name, place.path), lines)
    _FIRST_PARTS[place.name, place.path] = first if is_loaded else lines
    return first == lines or not is_loaded


def _collect_places(roots: set[str], plugins: set[str]) -> dict[_SourcePlace, list[str]]:
    """Return the packages and modules that count, each with its lines of the digest.

    Args:
        roots: names of modules that must be there.
        plugins: those of them that count by content, however they were installed.

    Raises:
        _NoSourceError: a root, or something that is imported, has no source.
    """
    places: dict[_SourcePlace, list[str]] = {}
    own = {_locate_source(name, is_required=True) for name in plugins}
    num_bytes = num_files = 0
    waiting = sorted(roots)
    while waiting:
        name = waiting.pop()
        place = None if is_library_module(name) else _locate_source(name, is_required=name in roots)
        if place is None or place in places:
            continue
        release = _find_release(place)
        if release is not None and release.from_index and place not in own:
            places[place] = [f"{release.name}=={release.version}"]
            continue
        places[place] = []
        for path in _list_source_files(place.path):
            num_files, num_bytes = num_files + 1, num_bytes + path.stat().st_size
            if num_files > MAX_SOURCE_FILES or num_bytes > MAX_SOURCE_BYTES:
                raise _NoSourceError(name)
            digest = sha256_unchanged_file(path)
            places[place].append(f"{place.name_file(path)} {digest}")
            # what a large library imports, installed from its repository, is as little of interest as its dependencies
            if path.suffix == ".py" and (release is None or place in own):
                waiting += _read_imports(path, place, digest)
    return places


def _locate_source(name: str, is_required: bool) -> _SourcePlace | None:
    """Find the first package or module along a dotted name; namespaces (folders without ``__init__``) are passed.

    Args:
        name: dotted name; the last part may be something that the module holds.
        is_required: refuse what is not there, instead of returning ``None``.

    Raises:
        _NoSourceError: it is there and has no source.
    """
    search: list[str] | None = None
    words = name.split(".")
    for count in range(1, len(words) + 1):
        prefix = ".".join(words[:count])
        spec = _find_spec(prefix, search)
        if spec is None or prefix == "__main__":
            break
        if spec.origin is None and spec.submodule_search_locations is not None:
            search = list(spec.submodule_search_locations)
            continue
        # frozen modules and those in a zip file have no file of their own
        path = Path(spec.origin or "")
        if not spec.has_location or not path.is_file():
            raise _NoSourceError(prefix)
        place = _SourcePlace(prefix, path if spec.submodule_search_locations is None else path.parent, path)
        if is_required and not _holds_module(place, name):
            raise _NoSourceError(name)
        return place
    if is_required:
        raise _NoSourceError(name)
    return None


def _find_spec(name: str, search: list[str] | None) -> ModuleSpec | None:
    """Find a module as ``importlib`` does, but import no parent package.

    Raises:
        _NoSourceError: a module of this name was made in memory.
    """
    if name in sys.modules:
        loaded = sys.modules[name]
        spec: ModuleSpec | None = getattr(loaded, "__spec__", None)
        if spec is not None or loaded is None:  # None stands there for a module that may not be imported
            return spec
        if (file := getattr(loaded, "__file__", None)) is None:
            if name == "__main__":
                return None
            raise _NoSourceError(name)
        return spec_from_file_location(name, file, submodule_search_locations=getattr(loaded, "__path__", None))
    if search is not None:
        return _find_in_namespace(name, search)
    for finder in sys.meta_path:
        found = finder.find_spec(name, None) if hasattr(finder, "find_spec") else None
        if found is not None:
            return found
    return None


def _find_in_namespace(name: str, search: list[str]) -> ModuleSpec | None:
    """Find a module of a namespace, which ``importlib`` itself does only once the namespace is imported."""
    portions: list[str] = []
    for folder in search:
        finder = get_importer(folder)
        found = finder.find_spec(name) if finder is not None else None
        if found is not None and found.loader is not None:
            return found
        portions += (found.submodule_search_locations if found is not None else None) or []
    namespace = ModuleSpec(name, None, is_package=True)
    namespace.submodule_search_locations = portions
    return namespace if portions else None


def _holds_module(place: _SourcePlace, name: str) -> bool:
    """Whether a module is a file of this package; a package can have its modules elsewhere (``extend_path``)."""
    if name == place.name:
        return True
    file = place.path.joinpath(*name[len(place.name) + 1 :].split("."))
    return place.path.is_dir() and (file.is_dir() or any(file.parent.glob(f"{file.name}.*")))


def _list_source_files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for each in iter_files(path):
        if "__pycache__" not in each.relative_to(path).parts and each.is_file():
            yield each


def _find_release(place: _SourcePlace) -> _Release | None:
    """Return the distribution whose list of installed files has a package or module; an editable one lists no code."""
    site = place.path.parents[place.name.count(".")]
    return _search_file_lists(site, place.main_file.relative_to(site).as_posix())


@lru_cache(maxsize=4096)
def _search_file_lists(site: Path, file: str) -> _Release | None:
    """Search the lists of files of all distributions in a folder.

    Args:
        site: folder that holds distributions beside their metadata.
        file: the file, relative to it.
    """
    line = f"\n{file},".encode()
    # the folder that is named like the package comes first: reading all lists of a large installation takes a while
    likely = file.partition("/")[0].removesuffix(".py").lower()
    for info in sorted(site.glob("*.dist-info"), key=lambda each: (not each.name.lower().startswith(likely), each)):
        record = info / "RECORD"
        if record.is_file() and line in b"\n" + record.read_bytes():
            release = PathDistribution(info)
            installer = (release.read_text("INSTALLER") or "").strip()
            # a version that was built here says little; conda's own packages were built from a folder of its builders
            from_index = installer == "conda" or not (info / "direct_url.json").is_file()
            return _Release(release.metadata["Name"].lower().replace("_", "-"), release.version, from_index)
    return None


def _read_imports(path: Path, place: _SourcePlace, sha256: str) -> tuple[str, ...]:
    """Return absolute dotted names of all that a file imports from outside, those of ``from a import b`` as ``a.b``."""
    package = ".".join(place.name_file(path).split("/")[:-1])
    if (package, sha256) not in _IMPORTS:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the user's code: Python says it where it is imported
                tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, RecursionError):  # a template, or code of another Python: nothing imports it
            tree = ast.Module([], [])
        names = (name for name in _iterate_imports(tree, package) if not name.startswith((".", f"{place.name}.")))
        _IMPORTS[package, sha256] = tuple(dict.fromkeys(names))
    return _IMPORTS[package, sha256]


def _iterate_imports(tree: ast.AST, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # one dot is the package itself, each further dot its parent; a name that starts with a dot leads nowhere
            parents = package.split(".")[: max(0, package.count(".") + 2 - node.level)] if node.level else []
            start = ".".join([*parents, *([node.module] if node.module else [])])
            yield from (f"{start}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "id", getattr(node.func, "attr", ""))
            name = node.args[0].value
            if called in ("import_module", "__import__") and isinstance(name, str):
                yield name
