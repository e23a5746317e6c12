"""Check whether the weights of a record's teacher are still at hand: its plan is made again without reading them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from backbones.registry import get_card
from backbones.weights import find_card_weights, hash_weight_file, locate_weights
from benchmarks.verify.replay import TEACHER_ENTRY
from classification.as_is.run_weights import find_tested_weights, read_finetuned_run
from foundation.errors import BenchError, UserError
from results.records.record import Record
from results.records.store import RECORD_FILE
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
        found = hash_weight_file(file)
    except (BenchError, OSError) as error:
        yield VerificationCheck(what, "unchecked", f"{told} are not read again: {error}")
        return
    if found != stated:
        yield VerificationCheck(what, "unchecked", f"{file} has other weights here ({found[:12]}...) than {told}")
    else:
        yield VerificationCheck(what, "holds", f"{told} are those of {file}")


def _find_weights(record: Record, teacher: Mapping[str, object]) -> Path:
    """Return the file that the user named, the tested one of a run that was named, or that of the teacher's card.

    A pre-training records no path of its teacher's file, so only the card's file is found.

    Raises:
        BenchError: it is not here, or nothing says which file it is.
    """
    card = teacher.get("card")
    name = str(card.get("name") if isinstance(card, Mapping) else None)
    given = record.non_identity_settings.get("teacher_checkpoint")
    if given is None:
        found = get_card(name)
        if found.weights is None:
            raise UserError(f"the record does not say where they were, and {name} has none of its own")
        file = find_card_weights(found).file
    else:
        path = Path(str(given)).expanduser()
        if not path.exists():
            raise UserError(f"they are not where the run had them ({path})")
        # a run that trained the teacher has several weights, and its record says which were tested
        if (path / RECORD_FILE).is_file():
            return find_tested_weights(read_finetuned_run(path))
        file = locate_weights(get_card(name), str(path)).file
    if file is None:
        raise UserError(f"the weights of {name} are not on this machine")
    return file
