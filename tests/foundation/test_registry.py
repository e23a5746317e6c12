from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

import foundation.registry as module
from foundation.errors import BenchError, BrokenPluginError, NameConflictError, UnknownNameError
from foundation.registry import Registry


def make(monkeypatch: pytest.MonkeyPatch, *points: tuple[str, str]) -> Registry[object]:
    """A registry of numbers whose plug-ins are the given (name, target) pairs."""
    calls: list[str] = []

    def fake(group: str) -> list[EntryPoint]:
        calls.append(group)
        assert len(calls) == 1, "entry points are loaded once"
        return [EntryPoint(name, target, group) for name, target in points]

    monkeypatch.setattr(module, "entry_points", fake)

    def convert(name: str, value: object) -> object:
        if not isinstance(value, float):
            raise TypeError(f"{name} is not a float")
        return value

    return Registry("constant", "test.group", convert)


def test_lazy_entry_is_imported_on_first_use_only(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = make(monkeypatch)
    registry.register("pi", "math:pi")
    registry.register("never", "no_such_module_anywhere:x")
    assert registry.list_names() == ["never", "pi"]
    assert registry.get("pi") == pytest.approx(3.14159, abs=1e-5)


def test_plugins_are_found_in_the_entry_point_group_once(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = make(monkeypatch, ("tau", "math:tau"))
    assert registry.get("tau") == registry.get("tau")
    assert registry.list_names() == ["tau"]


def test_unknown_name_answers_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = make(monkeypatch, ("golden_ratio", "math:pi"))
    with pytest.raises(UnknownNameError, match=r"unknown constant 'goldn_ratio'; did you mean golden_ratio\?"):
        registry.get("goldn_ratio")


def test_clash_names_both_origins(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = make(monkeypatch, ("pi", "math:tau"))
    registry.register("pi", "math:pi")
    with pytest.raises(NameConflictError, match=r"math:pi of bench and math:tau of"):
        registry.get("pi")


def test_broken_plugin_is_listed_with_its_error_and_hides_none(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = make(monkeypatch, ("bad", "no_such_module_anywhere:x"), ("wrong", "math:floor"), ("good", "math:pi"))
    errors = {entry.name: entry.error for entry in registry.list_entries()}
    assert errors["good"] is None
    assert "No module named 'no_such_module_anywhere'" in (errors["bad"] or "")
    assert "wrong is not a float" in (errors["wrong"] or "")
    with pytest.raises(BrokenPluginError, match="is broken: ModuleNotFoundError"):
        registry.get("bad")


def test_registry_is_frozen_after_the_first_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = make(monkeypatch)
    registry.list_names()
    with pytest.raises(BenchError, match="frozen"):
        registry.register("e", "math:e")
