"""Words that no verb knows: verbs, options, names."""

from pathlib import Path

import pytest

from benchmarks.cli.verbs import VERBS
from tests.bad_inputs.bad_input import BadInput, check_bad_input, name_case

CASES = [
    BadInput("unknown verb", ["rnu", "digits"], "unknown command 'rnu'; did you mean .*run"),
    *(BadInput(f"unknown option of {verb}", [verb, "--nonsense"], "see: bench .*--help") for verb in VERBS),
]


@pytest.mark.parametrize("case", CASES, ids=name_case)
def test_unknown_words(case: BadInput, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    check_bad_input(case, tmp_path, capfd)
