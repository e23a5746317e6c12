"""Write the sentence of the home page that counts the blocks; ``python -m tests.docs.count_blocks``."""

from __future__ import annotations

from foundation.files import write_atomic
from tests.conftest import ROOT
from tests.docs.blocks import describe_counts, list_runnable

HOME = ROOT / "docs" / "index.md"
BEGIN, END = "<!-- counts: python -m tests.docs.count_blocks -->\n", "<!-- end of counts -->"


def fill_home(text: str) -> str:
    """The home page with the sentence of today."""
    before, _, rest = text.partition(BEGIN)
    sentence = describe_counts(list_runnable())
    return f"{before}{BEGIN}{sentence}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    write_atomic(HOME, fill_home(HOME.read_text(encoding="utf-8")))
