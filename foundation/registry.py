"""A registry maps names to objects that are imported on first use.

Installed packages add entries through entry points. A broken plug-in is reported with its error and does not affect
the other entries.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, NamedTuple, TypeVar

from foundation.display_text import shorten_value
from foundation.errors import BenchError, BrokenPluginError, NameConflictError, UnknownNameError, UserError
from foundation.source_hash import hash_module_sources
from foundation.suggest import did_you_mean

T = TypeVar("T")


class RegistryEntry(NamedTuple):
    """One line of a listing.

    Attributes:
        name: the registered name.
        origin: ``bench``, or the package and version that registered the name.
        error: why the entry cannot be used, or ``None`` when it works.
    """

    name: str
    origin: str
    error: str | None


class _RegisteredTarget(NamedTuple):
    """Where an entry is imported from ("module:attribute"), and which package registered it."""

    target_path: str
    origin: str
    is_plugin: bool = False


class Registry(Generic[T]):
    """A mapping of names to ``module:attribute`` targets of one kind, imported on first use.

    Built-in targets are added with ``register``. Targets of installed packages are read from the entry-point group
    once, at the first look-up. After that the registry is frozen.

    Args:
        kind: what an entry is, for messages ("backbone", "task").
        entry_point_group: entry-point group of plug-ins, for example ``bench.backbones``.
        convert: takes the name and the imported object and returns the entry; raises ``TypeError`` when the object
            is not of this kind.

    Example:
        >>> constants = Registry("constant", "bench.constants", lambda name, value: value)
        >>> constants.register("pi", "math:pi")
        >>> round(constants.get("pi"), 2)
        3.14
    """

    def __init__(self, kind: str, entry_point_group: str, convert: Callable[[str, object], T]) -> None:
        self.kind = kind
        self.entry_point_group = entry_point_group
        self._convert = convert
        self._targets: dict[str, _RegisteredTarget] = {}
        self._loaded: dict[str, T] = {}
        self._frozen = False

    def register(self, name: str, target_path: str, origin: str = "bench") -> None:
        """Register a target under a name, without importing it.

        Args:
            name: the name that users give.
            target_path: "module:attribute"; the attribute may have dots.
            origin: who registers it, for messages.

        Raises:
            NameConflictError: the name is taken by another target; the message names both origins.
            BenchError: the registry is already frozen.
        """
        if self._frozen:
            raise BenchError(f"the {self.kind} registry is frozen; register {name!r} before the first look-up")
        self._store_target(name, _RegisteredTarget(target_path, origin))

    def list_names(self) -> list[str]:
        """Return all names, sorted. Only the metadata of entry points is read; no target is imported."""
        self._load_plugins()
        return sorted(self._targets)

    def get(self, name: str) -> T:
        """Return the entry called ``name``, importing it on first use.

        Raises:
            UnknownNameError: there is no such name; the message suggests the most similar ones.
            BrokenPluginError: the target cannot be imported or converted; the message has the original error.
        """
        self._load_plugins()
        if not isinstance(name, str):  # a call from a notebook
            raise UnknownNameError(f"a {self.kind} has a name, which is a text, not {shorten_value(name, 80)}")
        if name in self._loaded:
            return self._loaded[name]
        if name not in self._targets:
            hint = f"see: bench list {self.kind}s"
            raise UnknownNameError(
                f"unknown {self.kind} {shorten_value(name)}{did_you_mean(name, self._targets, hint=hint)}"
            )
        source = self._targets[name]
        if module := self.get_plugin_module(name):
            # before the import: whoever asks for this digest later learns whether the files were edited since
            hash_module_sources(module)
        try:
            entry = self._convert(name, _import_target(source.target_path))
        except Exception as error:  # importing a plug-in runs foreign code, which may raise anything
            reason = f"{type(error).__name__}: {error}"
            raise BrokenPluginError(
                f"{self.kind} {name!r} ({source.target_path} of {source.origin}) is broken: {reason}"
            ) from error
        self._loaded[name] = entry
        return entry

    def get_origin(self, name: str) -> str:
        """Return where a registered name comes from: ``bench``, or the package and its version."""
        self._load_plugins()
        return self._targets[name].origin

    def get_plugin_module(self, name: str) -> str | None:
        """Return the module that a plug-in's entry point names; ``None`` for bench's own entries and other names."""
        self._load_plugins()
        target = self._targets.get(name)
        return target.target_path.partition(":")[0] if target is not None and target.is_plugin else None

    def list_entries(self) -> list[RegistryEntry]:
        """Return one ``RegistryEntry`` per name; a broken entry carries its error and the others are still listed."""
        listing = []
        for name in self.list_names():
            try:
                self.get(name)
                error = None
            except UserError as broken:  # ``get`` turns every failure of a plug-in into a BrokenPluginError
                error = str(broken)
            listing.append(RegistryEntry(name, self.get_origin(name), error))
        return listing

    def _load_plugins(self) -> None:
        """Add the entry points of installed packages, once."""
        if self._frozen:
            return
        # frozen only after all are stored: a name conflict is raised again at the next look-up, not forgotten
        for point in entry_points(group=self.entry_point_group):
            self._store_target(point.name, _RegisteredTarget(point.value, _describe_distribution(point), True))
        self._frozen = True

    def _store_target(self, name: str, target: _RegisteredTarget) -> None:
        """Store a target; refuse to replace a different one."""
        taken = self._targets.get(name)
        if taken == target:  # one package can be found twice on sys.path
            return
        if taken is not None:
            raise NameConflictError(
                f"{self.kind} {name!r} is registered twice: {taken.target_path} of {taken.origin} and "
                f"{target.target_path} of {target.origin}; rename or uninstall one of them"
            )
        self._targets[name] = target


def _import_target(target_path: str) -> object:
    """Import "module:attribute.attribute" and return the object."""
    module, _, attribute = target_path.partition(":")
    value: object = importlib.import_module(module)
    # ``filter`` drops the one empty part that a target without an attribute splits into: the module itself is meant
    for part in filter(None, attribute.split(".")):
        value = getattr(value, part)
    return value


def _describe_distribution(entry_point: EntryPoint) -> str:
    """Return "package version" of the distribution that declares an entry point."""
    return f"{entry_point.dist.name} {entry_point.dist.version}" if entry_point.dist else "an unnamed package"
