"""The task registry: ours and installed plug-ins. Imports no torch."""

from __future__ import annotations

from engine.task import Task
from foundation.registry import Registry


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
for _name in ("ade20k", "camvid", "mini_ade", "segfolder"):
    TASKS.register(_name, f"segmentation.tasks:{_name.upper()}")
