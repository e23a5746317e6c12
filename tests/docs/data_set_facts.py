"""The table of facts at the head of each page of a data set, from the task and its source.

``python -m tests.docs.data_set_facts`` writes the tables; ``test_data_set_pages.py`` holds them.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.task_registry import TASKS, is_test_only
from classification.data.dataset_specs import IMAGE_DATASETS
from engine.data.data_sources import DATA_SOURCES, TRAINING_SOURCES, DataSource
from foundation.files import write_atomic
from tests.conftest import ROOT

PAGES = ROOT / "docs" / "reference" / "data-sets"
BEGIN, END = "<!-- facts: python -m tests.docs.data_set_facts -->", "<!-- end of facts -->"

SHARED_PAGES = {"got10k_val": "got10k", "got10k_test": "got10k"}
"""Tasks whose page has another name than the task."""

OWN_FOLDERS = ("imagefolder", "segfolder", "cocofolder", "trackfolder")
"""Tasks on data of the user's: their page is the guide to own data."""


def get_page(task: str) -> Path:
    """The page of a task's data."""
    return PAGES / f"{SHARED_PAGES.get(task, task)}.md"


def list_tasks(page: Path) -> list[str]:
    """The tasks whose data a page describes, in the order of listings."""
    return [name for name in TASKS.list_names() if name not in OWN_FOLDERS and get_page(name) == page]


def render_facts(page: Path) -> str:
    """The table between the marks of a page: one column of values per task."""
    tasks = list_tasks(page)
    rows: dict[str, list[str]] = {}
    for name in tasks:
        for key, value in describe_task(name).items():
            rows.setdefault(key, []).append(value)
    head = ["| | " + " | ".join(f"`{name}`" for name in tasks) + " |", "| --- |" + " --- |" * len(tasks)]
    return "\n".join(head + [f"| {key} | " + " | ".join(values) + " |" for key, values in rows.items()])


def describe_task(name: str) -> dict[str, str]:
    """What the code says of a task's data."""
    task, source = TASKS.get(name), DATA_SOURCES[name]
    card = IMAGE_DATASETS.get(name)
    counts = dict(card.official_counts) if card else dict(task.expected)
    facts = {
        "what": task.summary,
        "below the data root": describe_places(source),
        "official counts": ", ".join(f"{count:,} {split}" for split, count in counts.items()) or "not fixed",
        "metrics": ", ".join(f"`{metric.name}`" for metric in task.metrics),
        "trained on": "no: finished models only" if is_test_only(task) else "yes",
        "origin": source.origin,
        "terms": source.terms,
        "download": describe_download(name, source),
    }
    for title, other in TRAINING_SOURCES.get(name, {}).items():
        facts[title.replace(f"{name}, ", "")] = f"{describe_places(other)}: {other.terms}"
    return facts


def describe_places(source: DataSource) -> str:
    """The folders under which a set is looked for."""
    return " or ".join(f"`{place}/`" for place in source.places) or "nothing: it is embedded"


def describe_download(name: str, source: DataSource) -> str:
    """How large a set is, and who fetches it."""
    if not source.places:
        return "none"
    size = f"{source.download_bytes / 1e9:.2f} GB, " if source.download_bytes else ""
    verb = "fetches it" if source.is_fetched else "says how to fetch it"
    return f"{size}`bench get data {name}` {verb}"


def fill_page(text: str, page: Path) -> str:
    """The text of a page with its facts written anew."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page.name} lacks the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{render_facts(page)}\n\n{END}{after}"


if __name__ == "__main__":
    for path in sorted(PAGES.glob("*.md")):
        write_atomic(path, fill_page(path.read_text(encoding="utf-8"), path))
