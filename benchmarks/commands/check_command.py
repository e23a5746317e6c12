"""``bench check backbone NAME``."""

from __future__ import annotations

from argparse import Namespace

from benchmarks.output import columns, write, write_json

_WORDS = {"passed": "ok", "failed": "FAILED", "skipped": "skipped"}


def main(options: Namespace) -> int:
    """Run the contract suite over a backbone; exit code 1 if anything failed."""
    from backbones.contract.suite import check_backbone

    outcomes = check_backbone(options.name, img_size=options.img_size, compiled=options.compile)
    if options.json:
        write_json([outcome._asdict() for outcome in outcomes])
    else:
        write(columns([(_WORDS[outcome.state], outcome.what, outcome.detail) for outcome in outcomes]))
        failed = sum(outcome.state == "failed" for outcome in outcomes)
        verdict = f"{failed} of {len(outcomes)} checks failed" if failed else "keeps the contract"
        write(f"\n{options.name}: {verdict}")
    return 1 if any(outcome.state == "failed" for outcome in outcomes) else 0
