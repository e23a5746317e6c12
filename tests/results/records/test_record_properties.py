"""Whatever value stands in a record: it is refused, or every command takes it; and what was written is read again."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.cli.main import main
from foundation.errors import RecordError
from results.records.record import dump_record, parse_record
from tests.conftest import ROOT
from tests.foundation.test_display_text import DANGEROUS
from tests.results.records.hostile import HOSTILE_NAME, list_leaves, nest, replace_value, write_sound_runs

RECORDS = [
    json.loads(path.read_text())
    for path in (
        *sorted((ROOT / "results" / "reference_runs").rglob("record.json"))[::12],
        *sorted((ROOT / "tests" / "results" / "fixtures").glob("record_v*.json")),
    )
]
"""Records of classification, pre-training and tracking, of several schema versions."""

PLACES = [(number, path) for number, record in enumerate(RECORDS) for path in list_leaves(record)]
"""The number of a record and the path of each value in it."""

_TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from([HOSTILE_NAME, "", ".", "..", "../x", "/etc/passwd", "\0", "9" * 5_000, "x" * 5_000, "file:\0"]),
)
_NUMBERS = st.one_of(
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0, -1, 2**63, 2**64, 10**30, 10**400, 1e308, -1e308, 5e-324, -0.0, True, False, None]),
)
VALUES = st.one_of(
    _TEXTS,
    _NUMBERS,
    st.sampled_from([{}, [], [[]], {"": None}, {"a": {}}, [None], [1e308, 1e308], nest(99), nest(101)]),
    st.recursive(
        _TEXTS | _NUMBERS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3)
    ),
)
"""Values that may stand anywhere in a record of a stranger."""

_SETTINGS = {
    "derandomize": True,
    "deadline": None,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
}


@settings(max_examples=200, **_SETTINGS)  # type: ignore[arg-type]
@given(place=st.sampled_from(PLACES), value=VALUES)
def test_a_record_is_refused_in_a_sentence_or_read_again_as_it_was(place: Any, value: Any) -> None:
    number, path = place
    text = json.dumps(replace_value(RECORDS[number], path, value))
    try:
        record = parse_record(text, "x")
    except RecordError as error:
        assert str(error).startswith("x ") and len(str(error)) < 12_000
        return
    again = dump_record(record)
    # an upgraded record keeps its version, under which today's names would not be read
    if record.schema_version >= 4:
        assert dump_record(parse_record(again, "again")) == again
    assert not set(DANGEROUS) & set(again)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_sound_runs(tmp_path_factory.mktemp("sound"))


@settings(max_examples=6, **_SETTINGS)  # type: ignore[arg-type]
@given(changes=st.lists(st.tuples(st.integers(0, 10**6), VALUES), min_size=30, max_size=30))
def test_every_command_takes_what_is_read(changes: list[tuple[int, Any]], sound: dict[str, Any]) -> None:
    leaves = list_leaves(sound)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "runs"
        write_sound_runs(root)
        items = next((root / "digits").glob("*/items.csv"))
        for number, (place, value) in enumerate(changes):
            text = json.dumps(replace_value(sound, leaves[place % len(leaves)], value))
            folder = root / "digits" / f"made-finetune-full-seed0-{number:016x}"
            folder.mkdir()
            (folder / "items.csv").hardlink_to(items)
            (folder / "record.json").write_text(text)
        for words, codes in (
            (("table", "--runs", root), (0,)),
            (("table", "--runs", root, "--tier", "full", "--html", Path(scratch) / "page"), (0,)),
            (("list", "runs", "--runs", root), (0,)),
            (("verify", root), (1,)),
            *((("show", "run", root / "digits" / f"made-finetune-full-seed0-{n:016x}"), (0, 2)) for n in range(3)),
        ):
            written = io.StringIO()
            with contextlib.redirect_stdout(written), contextlib.redirect_stderr(written):
                code = main([*map(str, words)])
            text = written.getvalue()
            assert code in codes, text[-2_000:]
            lines = [line for line in text.splitlines() if "unexpected" in line and "Error: " in line]
            assert lines == [], "no check foresaw it"
            assert not set(DANGEROUS) & set(text)
            assert words[0] in ("show", "verify") or "--html" in words or "sound_a" in text.replace("\\", "")
