"""What is kept about a record: enough to list it, to select it, and to choose the timing of its backbone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from results.leaderboard.departures import list_departures
from results.leaderboard.row_labels import get_exported_sha256, get_start_kind
from results.leaderboard.timing_index import BackboneMeasurement, PluginNetwork, RunTiming, iter_run_timings
from results.records.identity import compute_candidate_digest, compute_digest
from results.records.record import PRETRAINING_DOMAIN, Record
from results.records.store import ScanResult

INDEX_VERSION = 2
"""Increase it whenever other facts follow from the same record: a field, the words of a departure, the choice among
timings, the fields of an older schema. What another version keeps has a file of its own."""

_DECODER = json.JSONDecoder()


class RunFacts(NamedTuple):
    """What a list of runs displays of a record, and what selects it.

    Attributes:
        folder: folder of the run.
        run_id, comparability, task, protocol, protocol_version, tier, domain, seed, status: as in the record.
        backbone: name of the backbone.
        candidate: digest of backbone and start weights without the seed; the seeds of a row share it.
        model: digest of the network as built (``compute_digest`` of the record's ``backbone.model``); ``None`` in
            records of schema versions before 5.
        data_fingerprint: digest of the data.
        task_source: digest of the code of a plug-in task; ``None`` for bench's own.
        departures: in which ways the run departs from its protocol, one short phrase each.
        start_kind: how the run started, as ``get_start_kind`` returns it.
        start_sha256: SHA-256 of the start weights; empty for random ones.
        started: when the last attempt started, UTC in ISO 8601.
        primary_metric, value: the metric by which rows are ranked; ``None`` without a result.
        exported_sha256: SHA-256 of the encoder that a complete pre-training exported; ``None`` for any other run.
    """

    folder: str
    run_id: str
    comparability: str
    task: str
    protocol: str
    protocol_version: int
    tier: str
    domain: str
    backbone: str
    candidate: str
    model: str | None
    data_fingerprint: str
    task_source: str | None
    seed: int
    status: str
    departures: Sequence[str]
    start_kind: str
    start_sha256: str
    started: str
    primary_metric: str | None
    value: float | None
    exported_sha256: str | None

    @property
    def is_pretraining(self) -> bool:
        """Return whether the run is a complete pre-training, which may name the start weights of other runs."""
        return self.domain == PRETRAINING_DOMAIN and self.status == "complete"


def summarize_run(folder: str, record: Record) -> RunFacts:
    """Return the facts of a record.

    Args:
        folder: folder of the run.
        record: its record.
    """
    result, model = record.result, record.backbone.model
    return RunFacts(
        folder,
        run_id=record.run_id,
        comparability=record.comparability,
        task=record.task,
        protocol=record.protocol,
        protocol_version=record.protocol_version,
        tier=record.tier,
        domain=record.domain,
        backbone=record.backbone.name,
        candidate=compute_candidate_digest(record),
        model=None if model is None else compute_digest(model),
        data_fingerprint=record.data.fingerprint,
        task_source=record.task_source,
        seed=record.seed,
        status=record.status,
        departures=list_departures(record),
        start_kind=get_start_kind(record),
        start_sha256=record.start_sha256,
        started=record.environment.started,
        primary_metric=result.primary_metric if result else None,
        value=result.metrics[result.primary_metric].value if result else None,
        exported_sha256=get_exported_sha256(record),
    )


def encode_run(record: Record) -> bytes:
    """Return the facts of a record and its timing as two lines of JSON; the second one is empty without a timing.

    They hold nothing about the folder, so that they are the same wherever the record lies.
    """
    found = next(iter_run_timings(ScanResult([(Path(), record)], [])), None)
    facts = json.dumps(summarize_run("", record)[1:])
    timing = json.dumps([found.network, found.task, found.plugin, found.measurement]) if found else ""
    # ASCII without line breaks, whatever is in the record: json escapes everything else
    return f"{facts}\n{timing}".encode("ascii")


def decode_facts(folder: str, lines: bytes) -> RunFacts:
    """Return the facts from the lines of ``encode_run``."""
    # json.loads would look for the encoding and for blanks, which takes longer than to decode the line
    return RunFacts(folder, *_DECODER.raw_decode(lines.decode("ascii"))[0])


def decode_timing(folder: str, lines: bytes) -> RunTiming | None:
    """Return the timing from the lines of ``encode_run``; ``None`` if there is none."""
    line = lines.decode("ascii").partition("\n")[2]
    if not line:
        return None
    network, task, plugin, measurement = _DECODER.raw_decode(line)[0]
    return RunTiming(
        network,
        folder,
        task,
        PluginNetwork(*plugin) if plugin else None,
        BackboneMeasurement(*measurement) if measurement else None,
    )
