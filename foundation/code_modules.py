"""Find the modules whose code some objects run, so that their source can be hashed. Never imports torch."""

from __future__ import annotations

import builtins
import functools
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

from foundation.source_hash import is_library_module

MAIN_MODULE = "__main__"

_HEAP_TYPE = 1 << 9
"""Flag of a class that was made while Python runs (``Py_TPFLAGS_HEAPTYPE``)."""

_BUILTINS = frozenset(each for each in vars(builtins).values() if isinstance(each, type))
_TYPED_IN = "exec()"
"""Stands for code of no module; there is no module of this name."""


def list_code_modules(things: Iterable[object]) -> set[str]:
    """Return the names of the modules, libraries left out, that hold the code of some objects.

    These are the home modules of classes and functions, of what the objects hold, and of their bases. A function or
    class of ``__main__`` (a script, a notebook) names its modules itself: the modules, functions and objects that its
    code names are looked through, because the whole script should not count.

    Args:
        things: classes, functions, modules, or objects; a torch module stands for all its parts.

    Returns:
        Dotted names. ``__main__`` is among them if something of it was found; a name that no module has, if code was
        made by ``exec``.
    """
    found: set[str] = set()
    seen: dict[int, object] = {}  # holds on to the objects, so that no address is used twice
    waiting = list(things)
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen:
            continue
        seen[id(thing)] = thing
        homes = {home for home in _list_homes(thing) if home == MAIN_MODULE or not is_library_module(home)}
        found |= homes
        waiting += _iterate_contents(thing, bool(homes), MAIN_MODULE in homes)
    return found


def _list_homes(thing: object) -> set[str]:
    """Return where a class, function or module says that it is from; of other objects nothing."""
    if isinstance(thing, ModuleType):
        return {thing.__name__}
    if isinstance(thing, FunctionType):
        # of a decorated function, ``__module__`` is that of what was decorated, and the globals are the decorator's
        homes = {str(thing.__module__), str(thing.__globals__.get("__name__", "builtins"))}
        # Python makes the methods of a named tuple by ``exec``
        return {_TYPED_IN if home == "builtins" else home for home in homes if not home.startswith("namedtuple_")}
    if isinstance(thing, type):
        # a class that was made by ``exec`` without a ``__name__`` says that it is Python's own
        typed_in = thing.__module__ == "builtins" and thing.__flags__ & _HEAP_TYPE and thing not in _BUILTINS
        return {_TYPED_IN if typed_in else str(thing.__module__)}
    return set()


def _iterate_contents(thing: Any, is_local: bool, is_main: bool) -> Iterator[object]:
    """Yield what an object holds or its code names, as far as that may be code of the user's.

    Args:
        thing: the object.
        is_local: it is a class or function that is no library's.
        is_main: it is one of ``__main__``.
    """
    if isinstance(thing, ModuleType):
        return
    if isinstance(thing, type):
        yield from thing.__mro__[1:]
        if is_main:
            yield from vars(thing).values()
    elif isinstance(thing, FunctionType):
        if is_local:
            yield from (thing.__defaults__, thing.__kwdefaults__)
            yield from _iterate_cells(thing)
        if is_main:
            names = {name for code in _iterate_code(thing.__code__) for name in code.co_names}
            yield from (thing.__globals__[name] for name in names if name in thing.__globals__)
    elif isinstance(thing, MethodType):
        yield from (thing.__func__, type(thing.__self__))
    elif isinstance(thing, property):
        yield from (thing.fget, thing.fset)
    elif isinstance(thing, staticmethod | classmethod):
        yield thing.__func__
    elif isinstance(thing, functools.partial):
        yield from (thing.func, thing.args, thing.keywords)
    elif isinstance(thing, dict):
        yield from thing.values()
        yield type(thing)
    elif isinstance(thing, list | tuple | set | frozenset):
        yield from thing
        yield type(thing)
    else:
        yield type(thing)
        # a library's object, as a logger, leads to the whole process; only torch's modules hold the user's parts
        if _is_transparent(thing):
            yield from vars(thing).values()


def _is_transparent(thing: Any) -> bool:
    values = getattr(thing, "__dict__", None)
    if not isinstance(values, dict):
        return False
    return isinstance(thing, SimpleNamespace) or "_modules" in values or not is_library_module(type(thing).__module__)


def _iterate_cells(function: FunctionType) -> Iterator[object]:
    """Yield what a function closes over, as far as it has values yet."""
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            continue


def _iterate_code(code: CodeType) -> Iterator[CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _iterate_code(each)
