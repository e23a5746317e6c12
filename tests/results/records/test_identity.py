from __future__ import annotations

import pytest

from backbones.registry import get_card
from results.records.identity import (
    NON_IDENTITY_CARD_FIELDS,
    RunIdentity,
    build_run_identity,
    compute_candidate_digest,
    compute_digest,
)
from tests.results.make import make_record


def test_order_does_not_matter_and_content_does() -> None:
    assert compute_digest({"a": 1, "b": 2}) == compute_digest({"b": 2, "a": 1})
    assert compute_digest({"a": 1}) != compute_digest({"a": 2})
    assert compute_digest({"a": None}) != compute_digest({"a": 0})


def test_digest_is_that_of_canonical_json() -> None:
    # printf '{"a":1}' | sha256sum
    assert compute_digest({"a": 1}) == "015abd7f5cc57a2d"


def test_what_json_lacks_is_refused() -> None:
    with pytest.raises(TypeError):
        compute_digest({"a": object()})
    with pytest.raises(ValueError, match="not JSON compliant"):
        compute_digest({"a": float("nan")})


def test_seed_changes_the_run_but_not_the_board() -> None:
    first, second = (RunIdentity({"task": "t"}, {"seed": seed}) for seed in (0, 1))
    assert first.run_id != second.run_id
    assert first.comparability == second.comparability


def test_protocol_changes_both() -> None:
    first, second = (RunIdentity({"task": task}, {"seed": 0}) for task in ("t", "u"))
    assert first.run_id != second.run_id
    assert first.comparability != second.comparability


def test_a_record_holds_its_own_ingredients() -> None:
    made = make_record()
    assert build_run_identity(made).comparability == made.comparability
    for change in ({"seed": 1}, {"tier": "short"}, {"protocol": "linear"}, {"config": {}}):
        other = made.model_copy(update=change)
        assert build_run_identity(other).run_id != build_run_identity(made).run_id
        assert (build_run_identity(other).comparability == made.comparability) == ("seed" in change)
        assert compute_candidate_digest(other) == compute_candidate_digest(made), "none of them is another backbone"


def test_the_cards_texts_are_those_of_the_card() -> None:
    card = get_card("vit_nano")
    assert {
        key: value for key, value in card.as_dict().items() if key not in NON_IDENTITY_CARD_FIELDS
    } == card.identity_dict()
