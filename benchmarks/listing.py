"""What there is, as data: tasks, backbones, protocols, pre-training methods. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backbones.registry import BACKBONES, get_card
from benchmarks.task_registry import TASKS
from foundation.registry import Registry, RegistryEntry
from pretraining.method_registry import METHOD_CARDS
from results.records.identity import AS_IS

Rows = list[dict[str, Any]]


def list_tasks() -> Rows:
    """One row a task; a broken plug-in carries its error."""

    def facts(name: str) -> dict[str, Any]:
        task = TASKS.get(name)
        return {
            "domain": task.domain,
            "protocols": list(task.protocols),
            "metrics": [f"{metric.name} ({metric.unit})" for metric in task.metrics],
            "summary": task.summary,
        }

    return _list_registry(TASKS, facts)


def list_backbones() -> Rows:
    """One row a backbone; a broken plug-in carries its error."""

    def facts(name: str) -> dict[str, Any]:
        card = get_card(name)
        return {
            "architecture": card.architecture,
            "input": "x".join(map(str, card.input_size)),
            "weights": card.weights.recipe if card.weights else "random init",
            "summary": card.summary,
        }

    return _list_registry(BACKBONES, facts)


def list_protocols() -> Rows:
    """One row a task and protocol; the first of a task is its default, if it is one that a run can have."""
    return [
        # bench run takes no protocol of itself for a set on which nothing is trained
        {"task": row["name"], "protocol": protocol, "default": position == 0 and protocol != AS_IS}
        for row in list_tasks()
        if row["error"] is None
        for position, protocol in enumerate(row["protocols"])
    ]


def list_pretraining_methods() -> Rows:
    """One row a method of pre-training."""
    return [
        {"name": card.name, "teacher": card.needs_teacher, "summary": card.summary, "error": None}
        for card in METHOD_CARDS.values()
    ]


def list_suites() -> Rows:
    """One row a suite that comes with bench, see ``bench sweep --file``."""
    from benchmarks.matrix.suite import list_shipped_suites

    return [{"name": name, "summary": summary, "error": None} for name, summary in list_shipped_suites().items()]


def _list_registry(registry: Registry[Any], describe_entry: Callable[[str], dict[str, Any]]) -> Rows:
    def row(entry: RegistryEntry) -> dict[str, Any]:
        details = describe_entry(entry.name) if entry.error is None else {}
        return {"name": entry.name, **details, "origin": entry.origin, "error": entry.error}

    return [row(entry) for entry in registry.list_entries()]
