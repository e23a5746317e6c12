"""Settings that have another name today: what records hold of them is read on, and ``--set`` names the new one.

Keys are dotted as ``--set`` has them. A setting within a renamed group is listed by its old and its new full name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ANY = {"trackers": "loggers"}
"""Of every recipe; "tracker" means an object tracker everywhere else."""

_TRACKING = {
    "centre_jitter": "center_jitter",
    "gap": "max_frame_gap",
    "sources": "dataset_weights",
    "grey": "grayscale",
    "skip_bad": "skip_unreadable",
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
"""Old name -> new name, by the domain of a task."""

_RENAMED_VALUES = {"box_loss_cell": {"centre": "center"}}


def find_new_name(setting: str) -> str | None:
    """What a setting of an earlier version is called now, in whatever domain it stood; ``None`` if it is no such one.

    Args:
        setting: dotted, as the user wrote it, e.g. ``eliminate.begin``.
    """
    parts = setting.split(".")
    for count in range(len(parts), 0, -1):  # the longest known name wins: eliminate.keep before eliminate
        known = ".".join(parts[:count])
        for renamed in RENAMED_SETTINGS.values():
            if known in renamed:
                return ".".join([renamed[known], *parts[count:]])
    return None


def upgrade_settings(settings: Mapping[str, Any], domain: str) -> dict[str, Any]:
    """Settings of an earlier version under the names of today; values and order stay.

    Args:
        settings: nested, as the ``recipe`` of a record has them.
        domain: of the task, e.g. ``tracking``.
    """
    return _upgrade_group(settings, RENAMED_SETTINGS.get(domain, _ANY), "")


def _upgrade_group(group: Mapping[str, Any], renamed: Mapping[str, str], prefix: str) -> dict[str, Any]:
    upgraded: dict[str, Any] = {}
    for name, value in group.items():
        old = f"{prefix}{name}"
        new = renamed.get(old, old).rpartition(".")[2]
        content = _upgrade_group(value, renamed, f"{old}.") if isinstance(value, Mapping) else value
        if isinstance(content, str):
            content = _RENAMED_VALUES.get(new, {}).get(content, content)
        upgraded[new] = content
    return upgraded
