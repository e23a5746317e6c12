"""Settings that were renamed: old records are read under the new names, and ``--set OLD=...`` is told the new name.

Keys are dotted, as ``--set`` takes them. A setting inside a renamed group is listed with its complete old name and its
complete new name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ANY = {"trackers": "loggers"}
"""Renamed in every recipe, because "tracker" means an object tracker everywhere else in the project."""

_TRACKING = {
    "centre_jitter": "center_jitter",
    "gap": "max_frame_gap",
    "sources": "dataset_weights",
    "grey": "grayscale",
    "skip_bad": "skip_unreadable",
    # candidate elimination (CE) of OSTrack: the names of its paper
    "elimination": "use_ce",
    "eliminate": "ce",
    "eliminate.keep": "ce.keep_ratio",
    "own_template": "asymmetric_attention",
    "supervise": "box_loss_cell",
}
_PRETRAINING = {
    "health": "knn_monitor",
    "health.every": "knn_monitor.interval",
    "health.bank": "knn_monitor.bank_size",
    "health.queries": "knn_monitor.num_queries",
    "unit": "mask_patch_size",
    "colours": "color_augmentation",
    "colours.grey": "color_augmentation.grayscale_p",
    "colours.blur": "color_augmentation.blur_p",
    "colours.solarise": "color_augmentation.solarize_p",
    "hidden": "hidden_dim",
    "out": "out_dim",
}
_SEGMENTATION = {"taps": "out_indices", "model.neck.share": "model.neck.width_ratio"}

RENAMED_SETTINGS: dict[str, dict[str, str]] = {
    "classification": _ANY,
    "tracking": {**_ANY, **_TRACKING},
    "pretraining": {**_ANY, **_PRETRAINING},
    "segmentation": {**_ANY, **_SEGMENTATION},
}
"""New name by old name, for each task domain."""

# values are keyed by the new name of their setting, because they are looked up after the setting was renamed
_RENAMED_VALUES = {"box_loss_cell": {"centre": "center"}}


def find_new_name(setting: str) -> str | None:
    """Return the current name of a renamed setting of any domain, or ``None`` if no setting was renamed from this name.

    Args:
        setting: dotted name as the user wrote it, for example ``eliminate.begin``.

    >>> find_new_name("eliminate.begin"), find_new_name("eliminate.keep"), find_new_name("epochs")
    ('ce.begin', 'ce.keep_ratio', None)
    """
    parts = setting.split(".")
    # the longest known prefix wins, so that eliminate.keep is found before eliminate
    for count in range(len(parts), 0, -1):
        known = ".".join(parts[:count])
        for renamed in RENAMED_SETTINGS.values():
            if known in renamed:
                return ".".join([renamed[known], *parts[count:]])
    return None


def upgrade_settings(settings: Mapping[str, Any], domain: str) -> dict[str, Any]:
    """Return the settings of an earlier version under their current names; values and order stay as they are.

    Args:
        settings: nested settings, as in the ``recipe`` of a record.
        domain: domain of the task, for example ``tracking``.
    """
    return _upgrade_group(settings, RENAMED_SETTINGS.get(domain, _ANY), "")


def _upgrade_group(group: Mapping[str, Any], renamed: Mapping[str, str], prefix: str) -> dict[str, Any]:
    """Rename the settings of one nested group; ``prefix`` is the group's dotted old name with a dot at its end."""
    upgraded: dict[str, Any] = {}
    for name, value in group.items():
        old = f"{prefix}{name}"
        # only the last part is used: the names of the enclosing groups were renamed one level up
        new = renamed.get(old, old).rpartition(".")[2]
        # the prefix of nested settings stays the old name, because the tables are keyed by old names
        content = _upgrade_group(value, renamed, f"{old}.") if isinstance(value, Mapping) else value
        if isinstance(content, str):
            content = _RENAMED_VALUES.get(new, {}).get(content, content)
        upgraded[new] = content
    return upgraded
