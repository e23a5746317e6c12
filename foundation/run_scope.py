"""What holds for the length of one run: whether caches may be read, and what was read already.

A value that is expensive to read (the file list of a data set) is needed several times in a run, so it is kept. It
must not outlive the run: between two runs of one process the files may change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class RunScope:
    """One run, or one command that reads data.

    Attributes:
        trusts_caches: whether hashes, features and digests that an earlier run stored may be used.
        hashes_all: whether the bytes of every file are hashed, also of a very large data set.
        data_options: what the user says of the layout of the data (``engine.data.data_options.DataOptions``).
        memo: results that are kept until the run ends, by function and arguments.
    """

    trusts_caches: bool = True
    hashes_all: bool = False
    data_options: object = None  # its type belongs to a higher layer
    memo: dict[Any, Any] = field(default_factory=dict)


_CURRENT_SCOPE: ContextVar[RunScope | None] = ContextVar("bench_run_scope", default=None)


def get_run_scope() -> RunScope:
    """Return the scope of the present run; outside of a run one that trusts caches and keeps nothing."""
    return _CURRENT_SCOPE.get() or RunScope()


@contextmanager
def open_run_scope(
    *, trusts_caches: bool = True, hashes_all: bool = False, data_options: object = None
) -> Iterator[RunScope]:
    """Begin a run; what was kept in it is forgotten at its end.

    Args:
        trusts_caches: ``False`` for ``--fresh`` and ``bench verify``: everything is read and computed again.
        hashes_all: hash the bytes of every file (``--hash-all``).
        data_options: the options of the data; ``None`` without.
    """
    scope = RunScope(trusts_caches, hashes_all, data_options)
    token = _CURRENT_SCOPE.set(scope)
    try:
        yield scope
    finally:
        _CURRENT_SCOPE.reset(token)


def memoize_in_run(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function so that, within one run, equal arguments are computed once.

    Outside of a run it is computed at each call.

    >>> calls = []
    >>> @memoize_in_run
    ... def read(name):
    ...     calls.append(name)
    ...     return name
    >>> with open_run_scope():
    ...     _ = read("a"), read("a")
    >>> _ = read("a")
    >>> calls
    ['a', 'a']
    """

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        scope = _CURRENT_SCOPE.get()
        if scope is None:
            return function(*args, **kwargs)
        key = (function, args, tuple(sorted(kwargs.items())))
        if key not in scope.memo:
            scope.memo[key] = function(*args, **kwargs)
        result: R = scope.memo[key]
        return result

    return wrapper
