"""Check whether the weights of a record's teacher are still at hand: its plan is made again without reading them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from backbones.registry import get_card
from backbones.weights import find_card_weights, hash_weight_file
from benchmarks.verify.replay import TEACHER_ENTRY
from foundation.errors import BenchError
from results.records.record import Record
from results.records.verification import VerificationCheck


def check_teacher(record: Record) -> Iterator[VerificationCheck]:
    """Compare the weights of a record's teacher with the file from which it learned, if that is here.

    Another file at that place, or none, is no fault of the record, but then nobody can make the run again.

    Args:
        record: the record of a run; nothing is checked if it has no teacher.
    """
    what, teacher = TEACHER_ENTRY, record.config.get(TEACHER_ENTRY)
    if not isinstance(teacher, Mapping):
        return
    stated = str(teacher.get("sha256"))
    told = f"the weights {stated[:12]}... of the teacher"
    try:
        file = _find_weights(record, teacher)
        found = None if file is None else hash_weight_file(file)
    except (BenchError, OSError) as error:
        yield VerificationCheck(what, "unchecked", f"{told} are not read again: {error}")
        return
    if found is None:
        yield VerificationCheck(what, "unchecked", f"{told} are not read again: they are not where the run had them")
    elif found != stated:
        yield VerificationCheck(what, "unchecked", f"{file} has other weights here ({found[:12]}...) than {told}")
    else:
        yield VerificationCheck(what, "holds", f"{told} are those of {file}")


def _find_weights(record: Record, teacher: Mapping[str, object]) -> Path | None:
    """Return the file that the user named, or that of the teacher's card; ``None`` if it is not here.

    A pre-training records no path of its teacher's file, so only the card's file is found.
    """
    given = record.non_identity_settings.get("teacher_checkpoint")
    if given is not None:
        # a run that trained the teacher has several weights, and its record says which were tested
        return Path(str(given)) if Path(str(given)).is_file() else None
    card = teacher.get("card")
    name = card.get("name") if isinstance(card, Mapping) else None
    found = get_card(str(name))
    return find_card_weights(found).file if found.weights is not None else None
