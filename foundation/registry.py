"""A registry of named things: lazy, frozen once loaded, open to plug-ins, never silent about a broken one."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, NamedTuple, TypeVar

from foundation.errors import BenchError, BrokenPluginError, NameConflictError, UnknownNameError, UserError
from foundation.suggest import did_you_mean

T = TypeVar("T")


class RegistryEntry(NamedTuple):
    """One line of a listing: a name, where it comes from, and the error if it is broken."""

    name: str
    origin: str
    error: str | None


class _RegisteredTarget(NamedTuple):
    target_path: str
    origin: str


class Registry(Generic[T]):
    """Names mapped to lazy ``module:attribute`` targets of one kind.

    Built-in targets are given with ``register``; those of installed packages are found in the entry-point
    group, once, at the first look-up. From then on the registry is frozen.

    Args:
        kind: what an entry is, for messages ("backbone", "task").
        entry_point_group: entry-point group of plug-ins, for example ``bench.backbones``.
        convert: turns the object a target names into an entry; raises ``TypeError`` on anything else.
    """

    def __init__(self, kind: str, entry_point_group: str, convert: Callable[[str, object], T]) -> None:
        self.kind = kind
        self.entry_point_group = entry_point_group
        self._convert = convert
        self._targets: dict[str, _RegisteredTarget] = {}
        self._loaded: dict[str, T] = {}
        self._frozen = False

    def register(self, name: str, target_path: str, origin: str = "bench") -> None:
        """Register ``target_path`` ("module:attribute") under ``name``.

        Raises:
            ClashError: if the name is taken; both origins are named.
            BenchError: if the registry is already frozen.
        """
        if self._frozen:
            raise BenchError(f"the {self.kind} registry is frozen; register {name!r} before the first look-up")
        self._store_target(name, _RegisteredTarget(target_path, origin))

    def list_names(self) -> list[str]:
        """All names, sorted; nothing is imported but the entry points' metadata."""
        self._load_plugins()
        return sorted(self._targets)

    def get(self, name: str) -> T:
        """The entry called ``name``, imported on first use.

        Raises:
            UnknownNameError: with the nearest names.
            BrokenPluginError: with the error that importing it gave.
        """
        self._load_plugins()
        if name in self._loaded:
            return self._loaded[name]
        if name not in self._targets:
            hint = f"see: bench list {self.kind}s"
            raise UnknownNameError(f"unknown {self.kind} {name!r}{did_you_mean(name, self._targets, hint=hint)}")
        source = self._targets[name]
        try:
            entry = self._convert(name, _import_target(source.target_path))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise BrokenPluginError(
                f"{self.kind} {name!r} ({source.target_path} of {source.origin}) is broken: {reason}"
            ) from error
        self._loaded[name] = entry
        return entry

    def get_origin(self, name: str) -> str:
        """Where a registered name comes from: ``bench`` or "package version"."""
        self._load_plugins()
        return self._targets[name].origin

    def list_entries(self) -> list[RegistryEntry]:
        """One ``RegistryEntry`` a name; a broken one carries its error and hides none of the rest."""
        listing = []
        for name in self.list_names():
            try:
                self.get(name)
                error = None
            except UserError as broken:
                error = str(broken)
            listing.append(RegistryEntry(name, self.get_origin(name), error))
        return listing

    def _load_plugins(self) -> None:
        if self._frozen:
            return
        for point in entry_points(group=self.entry_point_group):
            self._store_target(point.name, _RegisteredTarget(point.value, _describe_distribution(point)))
        self._frozen = True

    def _store_target(self, name: str, target: _RegisteredTarget) -> None:
        taken = self._targets.get(name)
        if taken == target:  # the same distribution found twice on the path
            return
        if taken is not None:
            raise NameConflictError(
                f"{self.kind} {name!r} is registered twice: {taken.target_path} of {taken.origin} and "
                f"{target.target_path} of {target.origin}; rename or uninstall one of them"
            )
        self._targets[name] = target


def _import_target(target_path: str) -> object:
    module, _, attribute = target_path.partition(":")
    value: object = importlib.import_module(module)
    for part in filter(None, attribute.split(".")):
        value = getattr(value, part)
    return value


def _describe_distribution(entry_point: EntryPoint) -> str:
    return f"{entry_point.dist.name} {entry_point.dist.version}" if entry_point.dist else "an unnamed package"
