from __future__ import annotations

import re
from pathlib import Path

import pytest

from foundation import environment
from foundation.environment import CACHE_DIR_VAR, DATA_ROOT_VAR, OFFLINE_VAR
from foundation.errors import UserError


def test_option_wins_over_variable_wins_over_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment.resolve_data_root() == Path("data")
    monkeypatch.setenv("BENCH_DATA", "/somewhere")
    assert environment.resolve_data_root() == Path("/somewhere")
    assert environment.resolve_data_root(Path("here")) == Path("here")


def test_a_home_folder_that_is_not_known_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", "~nobody-has-this-name/cache")
    with pytest.raises(UserError, match="BENCH_CACHE is '~nobody-has-this-name/cache'"):
        environment.get_cache_dir()

    def fail() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", fail)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("BENCH_CACHE", "")
    with pytest.raises(UserError, match=r"set \$BENCH_CACHE to a folder"):
        environment.get_cache_dir()
    monkeypatch.setenv("BENCH_CACHE", "/cache")
    assert environment.get_cache_dir() == Path("/cache"), "then no home folder is needed"


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


@pytest.mark.parametrize("value", ["x" * 300, "a/" * 2100, "\u00e9" * 130, "  "])
def test_a_variable_that_can_be_no_path_is_named(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (DATA_ROOT_VAR, CACHE_DIR_VAR):
        monkeypatch.setenv(variable.name, value)
        with pytest.raises(UserError, match=rf"^\${variable.name} is '.*, which is no path: it is") as caught:
            variable.read_path()
        assert len(str(caught.value)) < 500


def test_a_long_switch_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OFFLINE_VAR.name, "x" * 100_000)
    with pytest.raises(UserError, match=r"set it to 1 or 0") as caught:
        OFFLINE_VAR.read_switch()
    assert len(str(caught.value)) < 300
