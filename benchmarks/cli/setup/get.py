"""``bench get weights NAME`` and ``bench get data TASK``."""

from __future__ import annotations

from argparse import Namespace

from benchmarks.cli.output import write_json, write_stdout
from foundation.environment import resolve_data_root
from foundation.errors import UserError


def main(options: Namespace) -> int:
    """Fetch (or find) a card's weights; for those that are fetched by hand say what, from where and where to."""
    if options.noun == "data":
        return _get_data(options)
    data = locate_card_weights(options.name)
    if options.json:
        write_json(data)
    else:
        write_stdout(f"{data['file']}\nrecipe: {data['recipe']}\nlicence: {data['licence']}\nsha256: {data['sha256']}")
    return 0


def _get_data(options: Namespace) -> int:
    from benchmarks.task_registry import TASKS

    root, task = resolve_data_root(options.data_root), TASKS.get(options.name)
    task.download_data(root)
    report = task.check_data(root, "sample")
    if options.json:
        write_json({"task": options.name, "root": str(root), **report.as_dict()})
    else:
        write_stdout(
            f"{options.name}: {', '.join(f'{name} {count:,}' for name, count in report.splits.items())} in {root}"
        )
        write_stdout("\n".join([*report.notes, *report.deviations]))
    return 0


def locate_card_weights(name: str) -> dict[str, str]:
    """Where a card's weights are on this machine, with their hash and what they demand.

    Raises:
        UserError: the card has none, or its file is not here (the sentence says how to fetch it).
    """
    from backbones.registry import get_card
    from backbones.weights import locate_weights, require_matching_sha256
    from foundation.files import sha256_file

    card = get_card(name)
    start = locate_weights(card, None)
    if card.weights is None or start.file is None:
        raise UserError(f"{name} has no weights to get: it starts from random ones")
    digest = sha256_file(start.file)
    require_matching_sha256(card, start.file, digest)
    return {
        "name": name,
        "file": str(start.file),
        "sha256": digest,
        "recipe": card.weights.recipe,
        "source": card.weights.source,
        "licence": card.weights.licence,
    }
