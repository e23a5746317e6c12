"""The contract suite over one backbone."""

from __future__ import annotations

from typing import Literal, NamedTuple

from backbones.card import BackboneCard
from backbones.conformance.backbone_under_test import Broken, Check, NotTried, Subject, subject_of
from backbones.conformance.checks import CHECKS, compile_check
from foundation.errors import UserError


class Outcome(NamedTuple):
    """One line of the suite: what was checked, how it went, one sentence."""

    what: str
    state: Literal["passed", "failed", "skipped"]
    detail: str


def check_backbone(name: str | BackboneCard, *, img_size: int | None = None, compiled: bool = False) -> list[Outcome]:
    """Run the whole suite over a registered backbone, a plug-in, ``timm/<name>``, or a card.

    Args:
        name: the backbone.
        img_size: input side in pixels; the card's own when not given.
        compiled: also try ``torch.compile`` (slow).

    Raises:
        UserError: it cannot be made at all.
    """
    subject = subject_of(name, img_size)
    outcomes = [run_check(what, check, subject) for what, check in CHECKS.items()]
    if compiled:
        return [*outcomes, run_check("torch.compile", compile_check, subject)]
    return [*outcomes, Outcome("torch.compile", "skipped", "slow, so only on request: --compile")]


def run_check(what: str, check: Check, subject: Subject) -> Outcome:
    """One check as an outcome; an exception of the model is a failure, not the end of the suite."""
    try:
        return Outcome(what, "passed", check(subject))
    except NotTried as reason:
        return Outcome(what, "skipped", _sentence(reason))
    except (Broken, UserError) as fault:
        return Outcome(what, "failed", _sentence(fault))
    except Exception as error:  # noqa: BLE001 - whatever a stranger's model raises belongs into the table
        return Outcome(what, "failed", f"it raised {type(error).__name__}: {_sentence(error)}")


def _sentence(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else "no message"
