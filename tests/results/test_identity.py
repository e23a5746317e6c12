from __future__ import annotations

import pytest

from results.identity import Identity, digest


def test_order_does_not_matter_and_content_does() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert digest({"a": None}) != digest({"a": 0})


def test_digest_is_that_of_canonical_json() -> None:
    # printf '{"a":1}' | sha256sum
    assert digest({"a": 1}) == "015abd7f5cc57a2d"


def test_what_json_lacks_is_refused() -> None:
    with pytest.raises(TypeError):
        digest({"a": object()})
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest({"a": float("nan")})


def test_seed_changes_the_run_but_not_the_board() -> None:
    first, second = (Identity({"task": "t"}, {"seed": seed}) for seed in (0, 1))
    assert first.run_id != second.run_id
    assert first.comparability == second.comparability


def test_protocol_changes_both() -> None:
    first, second = (Identity({"task": task}, {"seed": 0}) for task in ("t", "u"))
    assert first.run_id != second.run_id
    assert first.comparability != second.comparability
