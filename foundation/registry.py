"""A registry of named things: lazy, frozen once loaded, open to plug-ins, never silent about a broken one."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, NamedTuple, TypeVar

from foundation.errors import BenchError, BrokenPluginError, ClashError, UnknownNameError, UserError
from foundation.suggest import did_you_mean

T = TypeVar("T")


class Entry(NamedTuple):
    """One line of a listing: a name, where it comes from, and the error if it is broken."""

    name: str
    origin: str
    error: str | None


class _Source(NamedTuple):
    target: str
    origin: str


class Registry(Generic[T]):
    """Names mapped to lazy ``module:attribute`` targets of one kind.

    Built-in targets are given with ``add``; those of installed packages are found in the entry-point
    group, once, at the first look-up. From then on the registry is frozen.

    Args:
        kind: what an entry is, for messages ("backbone", "task").
        group: entry-point group of plug-ins, for example ``bench.backbones``.
        convert: turns the object a target names into an entry; raises ``TypeError`` on anything else.
    """

    def __init__(self, kind: str, group: str, convert: Callable[[str, object], T]) -> None:
        self.kind = kind
        self.group = group
        self._convert = convert
        self._sources: dict[str, _Source] = {}
        self._loaded: dict[str, T] = {}
        self._frozen = False

    def add(self, name: str, target: str, origin: str = "bench") -> None:
        """Register ``target`` ("module:attribute") under ``name``.

        Raises:
            ClashError: if the name is taken; both origins are named.
            BenchError: if the registry is already frozen.
        """
        if self._frozen:
            raise BenchError(f"the {self.kind} registry is frozen; register {name!r} before the first look-up")
        self._put(name, _Source(target, origin))

    def names(self) -> list[str]:
        """All names, sorted; nothing is imported but the entry points' metadata."""
        self._freeze()
        return sorted(self._sources)

    def get(self, name: str) -> T:
        """The entry called ``name``, imported on first use.

        Raises:
            UnknownNameError: with the nearest names.
            BrokenPluginError: with the error that importing it gave.
        """
        self._freeze()
        if name in self._loaded:
            return self._loaded[name]
        if name not in self._sources:
            hint = f"see: bench list {self.kind}s"
            raise UnknownNameError(f"unknown {self.kind} {name!r}{did_you_mean(name, self._sources, hint=hint)}")
        source = self._sources[name]
        try:
            entry = self._convert(name, _resolve(source.target))
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise BrokenPluginError(
                f"{self.kind} {name!r} ({source.target} of {source.origin}) is broken: {reason}"
            ) from error
        self._loaded[name] = entry
        return entry

    def origin(self, name: str) -> str:
        """Where a registered name comes from: ``bench`` or "package version"."""
        self._freeze()
        return self._sources[name].origin

    def entries(self) -> list[Entry]:
        """One ``Entry`` a name; a broken one carries its error and hides none of the rest."""
        listing = []
        for name in self.names():
            try:
                self.get(name)
                error = None
            except UserError as broken:
                error = str(broken)
            listing.append(Entry(name, self.origin(name), error))
        return listing

    def _freeze(self) -> None:
        if self._frozen:
            return
        for point in entry_points(group=self.group):
            self._put(point.name, _Source(point.value, _distribution(point)))
        self._frozen = True

    def _put(self, name: str, source: _Source) -> None:
        taken = self._sources.get(name)
        if taken == source:  # the same distribution found twice on the path
            return
        if taken is not None:
            raise ClashError(
                f"{self.kind} {name!r} is registered twice: {taken.target} of {taken.origin} and "
                f"{source.target} of {source.origin}; rename or uninstall one of them"
            )
        self._sources[name] = source


def _resolve(target: str) -> object:
    module, _, attribute = target.partition(":")
    value: object = importlib.import_module(module)
    for part in filter(None, attribute.split(".")):
        value = getattr(value, part)
    return value


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unnamed package"
