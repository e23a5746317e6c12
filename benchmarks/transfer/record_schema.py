"""Write the JSON Schema of a record: ``python -m benchmarks.transfer.record_schema docs/reference/record.schema.json``.

The schema is made from the model that reads records, and describes the present schema version only. A record of an
earlier version has other names and is refused by its ``schema_version``; ``python -m results.records.migrate`` rewrites
it. What a schema cannot say (that an id follows from the other fields, that done equals expected) is checked by
``bench verify``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from foundation.files import write_atomic
from results.records.record import SCHEMA_VERSION, Record

SCHEMA_FILE = "docs/reference/record.schema.json"


def make_record_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a record of the present schema version."""
    schema = Record.model_json_schema()
    schema["properties"]["schema_version"] = {"const": SCHEMA_VERSION, "title": "Schema Version"}
    # a default of the model, but a file without it is refused: nobody could tell what its names mean
    schema["required"] = sorted({*schema["required"], "schema_version"})
    has_result = {"required": ["result"], "properties": {"result": {"type": "object"}}}
    has_reason = {"required": ["reason"], "properties": {"reason": {"type": "string", "minLength": 1}}}
    schema["allOf"] = [
        {"if": _is_status("complete"), "then": has_result},
        {"if": _is_status("running", "failed"), "then": {"properties": {"result": {"type": "null"}}}},
        {"if": _is_status("failed", "invalidated"), "then": has_reason},
    ]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def render_record_schema() -> str:
    """Return the schema as the text of its file."""
    return json.dumps(make_record_schema(), indent=1, ensure_ascii=False) + "\n"


def _is_status(*statuses: str) -> dict[str, Any]:
    return {"properties": {"status": {"enum": list(statuses)}}}


def main(arguments: list[str]) -> int:
    """Write the schema to a file.

    Args:
        arguments: one word, the path of the file.
    """
    write_atomic(Path(arguments[0] if arguments else SCHEMA_FILE), render_record_schema())
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
