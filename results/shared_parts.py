"""Keep one copy of what many records of a store have in common: settings, cards, package versions, data sets."""

from __future__ import annotations

import hashlib
import marshal
from typing import Any

from results.records.record import Record


class PartPool:
    """The parts that were seen so far, by their content.

    Records of one store differ in weights, seed and numbers; their settings, cards and packages are the same few over
    and over, and are more than a third of what a record takes in memory (half, where settings are long).
    """

    def __init__(self) -> None:
        # by name and digest: the content itself as a key would double what a store without equal parts takes
        self._parts: dict[tuple[str, bytes], Any] = {}

    def share_parts(self, record: Record) -> Record:
        """Replace parts of a record by equal ones of earlier records, and return it.

        Nobody may change a part afterwards, which the types do not say of the dictionaries in a record.

        Args:
            record: just read; nobody else has it yet.
        """
        self._share_field(record, "config", record.config)
        for part, name in ((record.backbone, "card"), (record.backbone, "arguments"), (record.environment, "packages")):
            self._share_field(part, name, getattr(part, name))
        self._share_field(record, "data", record.data.model_dump())
        for metric in record.result.metrics.values() if record.result else ():
            if metric.statistic is not None:
                self._share_field(metric, "statistic", metric.statistic.model_dump())
        return record

    def _share_field(self, owner: Any, name: str, content: Any) -> None:
        """Replace the value of a field by the first one of equal content, types and order of names included."""
        # Version 2 of the format has no references, so that the bytes depend on the content alone; it writes all that
        # JSON can hold.
        key = (name, hashlib.sha256(marshal.dumps(content, 2)).digest())
        # the models are frozen for everybody else; this value is equal to the one that it replaces
        owner.__dict__[name] = self._parts.setdefault(key, owner.__dict__[name])
