"""Run the conformance checks on one backbone."""

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
from backbones.conformance.protocol_use import PROTOCOL_CHECKS
from foundation.errors import UserError


class CheckResult(NamedTuple):
    """The result of one check.

    Attributes:
        check_name: what was checked.
        status: the outcome.
        detail: one sentence: what was found, what is violated, or why the check was skipped.
    """

    check_name: str
    status: Literal["passed", "failed", "skipped"]
    detail: str


def check_backbone(
    name: str | BackboneCard, *, img_size: int | None = None, with_compile: bool = False
) -> list[CheckResult]:
    """Run all checks on a backbone.

    Args:
        name: registry name (built-in or plug-in), ``timm/<name>``, or a card.
        img_size: input side in pixels; the card's when not given.
        with_compile: also check ``torch.compile``, which is slow.

    Returns:
        One result per check, in a fixed order.

    Raises:
        UserError: the backbone cannot be created.
    """
    subject = make_backbone_under_test(name, img_size)
    outcomes = [run_check(what, check, subject) for what, check in {**CONTRACT_CHECKS, **PROTOCOL_CHECKS}.items()]
    if with_compile:
        return [*outcomes, run_check("torch.compile", check_compile, subject)]
    return [*outcomes, CheckResult("torch.compile", "skipped", "slow, so it runs only with --compile")]


def run_check(check_name: str, check: ContractCheck, backbone: BackboneUnderTest) -> CheckResult:
    """Run one check. An exception in the model counts as a failed check and does not stop the suite."""
    try:
        return CheckResult(check_name, "passed", check(backbone))
    except CheckSkipped as reason:
        return CheckResult(check_name, "skipped", _first_line(reason))
    except (ContractViolation, UserError) as fault:
        return CheckResult(check_name, "failed", _first_line(fault))
    except Exception as error:  # noqa: BLE001 - a plug-in's model may raise anything, and it belongs into the table
        return CheckResult(check_name, "failed", f"it raised {type(error).__name__}: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    """Return the first line of an error's message; errors of torch may have many."""
    return str(error).splitlines()[0] if str(error) else "no message"
