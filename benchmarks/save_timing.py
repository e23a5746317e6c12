"""Keep the timing of ``bench profile`` in a store, where the leaderboards take it up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from results.records.measurements import EfficiencyRecord, TimingSamples
from results.records.saved_timings import SavedTiming, write_timing


def save_profile_timing(store: Path, profile: dict[str, Any]) -> Path:
    """Write the timing of a profile into a store and return the path of the new file. No record is changed.

    Args:
        store: folder of runs.
        profile: result of ``backbones.cost.profile.profile_backbone``.

    Raises:
        UserError: the file cannot be written.
    """
    # imported here: --device must be known before torch is imported
    from backbones.create import create_backbone
    from backbones.model_digest import describe_model
    from backbones.registry import get_card
    from engine.run_environment import utc_now

    card, where = get_card(profile["name"]), profile["where"]
    size = tuple(profile["img_size"])
    described = describe_model(
        card, {"img_size": size}, lambda: create_backbone(card, img_size=size, checkpoint="random").model
    ).identity_dict()
    efficiency = EfficiencyRecord(
        img_size=profile["img_size"],
        **profile["counts"],
        latency=_extract_samples(profile["latency"]),
        throughput=_extract_samples(profile["throughput"]),
        chip=where["chip"],
        threads=where["threads"],
        runtime=f"torch {where['torch']}",
        precision=where["dtype"],
        load_average=where["load_average"],
        other_load=where["other_load"],
        processors=where["processors"],
    )
    return write_timing(
        store,
        SavedTiming(
            name=card.name,
            card=card.as_dict(),
            source=described.get("source"),
            device=where["device"],
            measured=utc_now(),
            efficiency=efficiency,
        ),
    )


def _extract_samples(timed: dict[str, Any]) -> TimingSamples:
    return TimingSamples(batch=timed["batch"], raw_ms=timed["raw"])
