"""The contract suite over one backbone."""

from __future__ import annotations

from typing import Literal, NamedTuple

from backbones.card import BackboneCard
from backbones.conformance.backbone_under_test import (
    BackboneUnderTest,
    CheckSkipped,
    ContractCheck,
    ContractViolation,
    make_backbone_under_test,
)
from backbones.conformance.checks import CONTRACT_CHECKS, check_compile
from foundation.errors import UserError


class CheckResult(NamedTuple):
    """One line of the suite: what was checked, how it went, one sentence."""

    check_name: str
    status: Literal["passed", "failed", "skipped"]
    detail: str


def check_backbone(
    name: str | BackboneCard, *, img_size: int | None = None, with_compile: bool = False
) -> list[CheckResult]:
    """Run the whole suite over a registered backbone, a plug-in, ``timm/<name>``, or a card.

    Args:
        name: the backbone.
        img_size: input side in pixels; the card's own when not given.
        with_compile: also try ``torch.compile`` (slow).

    Raises:
        UserError: it cannot be made at all.
    """
    subject = make_backbone_under_test(name, img_size)
    outcomes = [run_check(what, check, subject) for what, check in CONTRACT_CHECKS.items()]
    if with_compile:
        return [*outcomes, run_check("torch.compile", check_compile, subject)]
    return [*outcomes, CheckResult("torch.compile", "skipped", "slow, so only on request: --compile")]


def run_check(check_name: str, check: ContractCheck, backbone: BackboneUnderTest) -> CheckResult:
    """One check as an outcome; an exception of the model is a failure, not the end of the suite."""
    try:
        return CheckResult(check_name, "passed", check(backbone))
    except CheckSkipped as reason:
        return CheckResult(check_name, "skipped", _first_line(reason))
    except (ContractViolation, UserError) as fault:
        return CheckResult(check_name, "failed", _first_line(fault))
    except Exception as error:  # noqa: BLE001 - whatever a stranger's model raises belongs into the table
        return CheckResult(check_name, "failed", f"it raised {type(error).__name__}: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else "no message"
