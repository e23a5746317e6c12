"""Records of earlier schema versions under the field names of today. Numbers and hashes are left as they are.

Both ids are digests over settings, names included. They are computed again over the new names, so that an old run
stands on the same board as a new one; but only where the old id follows from the old fields. An id that does not is
kept, and ``bench verify`` goes on to call it wrong.

Version 2 added fields, version 3 added ``cost.efficiency``; version 4 only renames, so that one upgrade serves all:

=============================  ==============================
up to version 3                version 4
=============================  ==============================
``interval.over``              ``interval.resampling_unit``
``load_report.share``          ``load_report.matched_fraction``
``data.departures``            ``data.deviations``
``result.primary``             ``result.primary_metric``
``neutral``                    ``non_identity_settings``
``where``                      ``environment``
settings (``config.recipe``)   see ``renamed_settings``
=============================  ==============================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from results.records.identity import RunIdentity, collect_identity_fields
from results.records.renamed_settings import upgrade_settings


def upgrade_record(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a record of schema version 1 to 3 as version 4 has it; the version it says stays.

    A field that is not where it should be is left alone: validation names it.

    Args:
        content: the record's JSON as plain data.
    """
    upgraded: dict[str, Any] = rename_keys(content, {"neutral": "non_identity_settings", "where": "environment"})
    domain = str(upgraded.get("domain"))
    identities = _identify(content), _identify(upgraded | {"config": upgrade_config(content.get("config"), domain)})
    for name in ("run_id", "comparability"):
        before, after = (getattr(identity, name, None) for identity in identities)
        if before is not None and content.get(name) == before:
            upgraded[name] = after
    upgraded["data"] = rename_keys(upgraded.get("data"), {"departures": "deviations"})
    if isinstance(upgraded.get("non_identity_settings"), Mapping):
        upgraded["non_identity_settings"] = upgrade_settings(upgraded["non_identity_settings"], domain)
    upgraded["config"] = upgrade_config(upgraded.get("config"), domain)
    if isinstance(upgraded.get("result"), Mapping):
        upgraded["result"] = _upgrade_result(upgraded["result"])
    if "backbone" in upgraded:
        upgraded["backbone"] = upgrade_backbone(upgraded["backbone"])
    return upgraded


def upgrade_backbone(backbone: Any) -> Any:
    """The ``backbone`` of a record, with its load report under the names of today; anything else as it is."""
    if not isinstance(backbone, Mapping) or not isinstance(backbone.get("checkpoint"), Mapping):
        return backbone
    report = rename_keys(backbone["checkpoint"].get("load_report"), {"share": "matched_fraction"})
    return {**backbone, "checkpoint": {**backbone["checkpoint"], "load_report": report}}


def upgrade_config(config: Any, domain: str) -> Any:
    """The ``config`` of a record (recipe and what the task added) under the names of today."""
    renamed = rename_keys(config, {"health": "knn_data"} if domain == "pretraining" else {})
    if isinstance(renamed, Mapping) and isinstance(renamed.get("recipe"), Mapping):
        return {**renamed, "recipe": upgrade_settings(renamed["recipe"], domain)}
    return renamed


def _identify(content: Mapping[str, Any]) -> RunIdentity | None:
    """The identity that follows from a record's fields; ``None`` where they are not those of a record."""
    try:
        return collect_identity_fields(content)
    except (KeyError, TypeError, AttributeError):
        return None


def _upgrade_result(result: Mapping[str, Any]) -> dict[str, Any]:
    upgraded: dict[str, Any] = rename_keys(result, {"primary": "primary_metric"})
    metrics = upgraded.get("metrics")
    if isinstance(metrics, Mapping):
        upgraded["metrics"] = {
            name: {**metric, "interval": rename_keys(metric.get("interval"), {"over": "resampling_unit"})}
            if isinstance(metric, Mapping)
            else metric
            for name, metric in metrics.items()
        }
    return upgraded


def rename_keys(group: Any, names: Mapping[str, str]) -> Any:
    """A group with some of its keys renamed, in the same order; anything else than a group as it is.

    An old name beside its new one stays, so that validation refuses it: neither value is dropped in silence.
    """
    if not isinstance(group, Mapping):
        return group
    return {key if names.get(key) in group else names.get(key, key): value for key, value in group.items()}
