"""Read records of earlier schema versions under the current field names. Numbers and hashes stay as they are.

``run_id`` and ``comparability`` are digests of the settings, including the names of the settings. They are recomputed
from the new names, so that an old run and a new run of the same settings share a board. An id is recomputed only if it
follows from the old fields. An id that does not follow from them is left as it is, and ``bench verify`` still reports
it as wrong.

Versions 2, 3 and 5 to 8 only added fields and version 4 only renames fields, so one upgrade serves all versions before
4:

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
    """Return the content of a record of an earlier schema version under today's names; ``schema_version`` itself stays.

    A field of an unexpected type is left alone, so that validation reports it.

    Args:
        content: the record's JSON as plain data.
    """
    if content.get("schema_version") in (4, 5, 6, 7):  # only fields with a default were added since
        return dict(content)
    upgraded: dict[str, Any] = rename_keys(content, {"neutral": "non_identity_settings", "where": "environment"})
    domain = str(upgraded.get("domain"))
    # Of the renamed fields only ``config`` is part of the identity; compare the stated id with that of the old names,
    # and replace it by that of the new names only if it was right. A record that was edited by hand stays detectable.
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
    """Return a record's ``backbone`` with its load report under the current names; other types are returned as is."""
    if not isinstance(backbone, Mapping) or not isinstance(backbone.get("checkpoint"), Mapping):
        return backbone
    report = rename_keys(backbone["checkpoint"].get("load_report"), {"share": "matched_fraction"})
    return {**backbone, "checkpoint": {**backbone["checkpoint"], "load_report": report}}


def upgrade_config(config: Any, domain: str) -> Any:
    """Return a record's ``config`` (the recipe and what the task added to it) under the current names."""
    renamed = rename_keys(config, {"health": "knn_data"} if domain == "pretraining" else {})
    if isinstance(renamed, Mapping) and isinstance(renamed.get("recipe"), Mapping):
        return {**renamed, "recipe": upgrade_settings(renamed["recipe"], domain)}
    return renamed


def _identify(content: Mapping[str, Any]) -> RunIdentity | None:
    """Return the identity that follows from a record's fields, or ``None`` if the fields are not those of a record."""
    try:
        return collect_identity_fields(content)
    except (KeyError, TypeError, AttributeError):
        return None  # the content was not validated yet; validation reports the fault later


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
    """Return a mapping with some keys renamed, in the same order; anything that is not a mapping is returned as is.

    If the mapping has both the old and the new key, the old key stays. Validation then refuses it as an unknown field,
    and neither of the two values is dropped silently.

    Args:
        group: a part of a record.
        names: new key by old key.
    """
    if not isinstance(group, Mapping):
        return group
    return {key if names.get(key) in group else names.get(key, key): value for key, value in group.items()}
