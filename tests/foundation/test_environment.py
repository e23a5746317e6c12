from __future__ import annotations

import re
from pathlib import Path

import pytest

from foundation import environment


def test_option_wins_over_variable_wins_over_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment.resolve_data_root() == Path("data")
    monkeypatch.setenv("BENCH_DATA", "/somewhere")
    assert environment.resolve_data_root() == Path("/somewhere")
    assert environment.resolve_data_root(Path("here")) == Path("here")


def test_every_bench_variable_in_the_source_is_declared() -> None:
    root = Path(environment.__file__).parent.parent
    declared = {variable.name for variable in environment.ENVIRONMENT_VARIABLES}
    rooms = [path for path in root.iterdir() if (path / "__init__.py").exists() and path.name != "tests"]
    used = {
        name
        for room in rooms
        for path in room.rglob("*.py")
        for name in re.findall(r"\bBENCH_[A-Z_]+", path.read_text())
    }
    assert used == declared
