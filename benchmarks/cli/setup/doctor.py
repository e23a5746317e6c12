"""``bench doctor``."""

from __future__ import annotations

from argparse import Namespace

from benchmarks.cli.output import columns, write, write_json
from benchmarks.doctor import examine
from foundation.environment import data_root


def main(options: Namespace) -> int:
    """Write every finding; exit code 1 if something is bad."""
    findings = examine(data_root(options.data_root), options.out, options.device)
    if options.json:
        write_json([finding._asdict() for finding in findings])
    else:
        write(columns([(f.state, f.what, f.found) for f in findings]))
        mends = [f"{f.what}: {f.mend}" for f in findings if f.mend]
        if mends:
            write("\n" + "\n".join(mends))
    return 1 if any(finding.state == "bad" for finding in findings) else 0
