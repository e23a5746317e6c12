"""What holds for the length of one run."""

from __future__ import annotations

import pytest

from foundation.run_scope import get_run_scope, memoize_in_run, open_run_scope


def test_outside_of_a_run_caches_are_trusted_and_nothing_is_kept() -> None:
    scope = get_run_scope()
    assert scope.trusts_caches and not scope.hashes_all
    scope.memo["x"] = 1
    assert "x" not in get_run_scope().memo


def test_a_run_within_a_run_has_its_own_memory() -> None:
    calls: list[int] = []

    @memoize_in_run
    def read(number: int, *, double: bool = False) -> int:
        calls.append(number)
        return number * (2 if double else 1)

    with open_run_scope(trusts_caches=False) as outer:
        assert get_run_scope() is outer and (read(1), read(1), read(1, double=True)) == (1, 1, 2)
        with open_run_scope() as inner:
            assert inner.trusts_caches and read(1) == 1
        assert get_run_scope() is outer
    assert calls == [1, 1, 1]


def test_a_run_that_fails_ends_its_scope() -> None:
    with pytest.raises(ValueError, match="x"), open_run_scope(hashes_all=True):
        raise ValueError("x")
    assert not get_run_scope().hashes_all
