"""The task registry: ours and installed plug-ins. Imports no torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from engine.task import Task
from foundation.code_modules import list_code_modules
from foundation.registry import Registry
from foundation.source_hash import hash_module_sources
from results.records.identity import AS_IS


class TaskSource(NamedTuple):
    """The code of a task that is not bench's own.

    Attributes:
        sha256: of its source, and of the plain values that the object holds; ``None`` for bench's own tasks,
            ``unknown`` where the source was not found.
        is_answerable: whether a run may be answered from a record: not if the source was not found, or was edited
            after this process imported it.
    """

    sha256: str | None
    is_answerable: bool


def _convert_plugin(name: str, value: object) -> Task:
    """A plug-in gives a Task, or a class of them."""
    task = value() if isinstance(value, type) and issubclass(value, Task) else value
    if not isinstance(task, Task):
        raise TypeError(f"a task is an engine.task.Task, not {type(value).__name__}")
    if task.name != name:
        raise TypeError(f"the task calls itself {task.name!r} but is registered as {name!r}")
    return task


TASKS: Registry[Task] = Registry("task", "bench.tasks", _convert_plugin)
TASKS.register("digits", "classification.digits_task:DIGITS")
for _name in ("cifar10", "cifar100", "flowers", "pets", "aircraft", "cars", "inat18", "imagenet", "imagefolder"):
    TASKS.register(_name, f"classification.image_tasks:{_name.upper()}")
for _name in ("lasot", "mini_lasot", "trackfolder"):
    TASKS.register(_name, f"tracking.tasks:{_name.upper()}")
for _name in ("lasot_ext", "got10k_val", "got10k_test", "trackingnet", "otb100", "uav123", "nfs"):
    TASKS.register(_name, f"tracking.test_sets:{_name.upper()}")
for _name in ("ade20k", "camvid", "mini_ade", "segfolder"):
    TASKS.register(_name, f"segmentation.tasks:{_name.upper()}")
for _name in ("coco", "mini_coco", "mini_shapes", "cocofolder"):
    TASKS.register(_name, f"detection.tasks:{_name.upper()}")


def is_test_only(task: Task) -> bool:
    """Return whether finished models are tested on a task's data and nothing is trained on them."""
    return tuple(task.protocols) == (AS_IS,)


def describe_task_source(task: Task) -> TaskSource:
    """Hash the source of a plug-in's or a user's task; bench's own tasks are known by their protocols' versions.

    Args:
        task: of the registry, or one that is not registered. What is defined in a script or notebook itself has no
            source that could be told from the rest of it.
    """
    plugin = TASKS.get_plugin_module(task.name)
    plugins = [plugin] if plugin is not None and TASKS.get(task.name) is task else []
    named = list_code_modules([type(task), *vars(task).values()])
    if not plugins and not named:
        return TaskSource(None, True)
    source = hash_module_sources(*plugins, named=named)
    if source is None or not source.is_current:
        return TaskSource("unknown", False)
    values = {key: value for key, value in vars(task).items() if key[0] != "_" and _is_plain(value)}
    if not values:
        return TaskSource(source.sha256, True)
    # two objects of one class may differ in what their constructor was given
    text = f"{source.sha256} {json.dumps(values, sort_keys=True)}"
    return TaskSource(hashlib.sha256(text.encode()).hexdigest(), True)


def _is_plain(value: Any) -> bool:
    """Return whether a value is a number, a text or a table of these; what is ``None`` may be filled in later."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(each) for key, each in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    # where the data lie must not count
    return isinstance(value, int | float) or (isinstance(value, str) and not Path(value).is_absolute())
