"""``bench doctor``: report what is installed and what is wrong."""

from __future__ import annotations

import argparse
from argparse import Namespace

from benchmarks.cli.common_options import add_data_root_option, add_output_options
from benchmarks.cli.output import align_columns, write_json, write_stdout
from benchmarks.doctor import diagnose_environment, make_shared_report
from foundation.display_text import format_one_line
from foundation.environment import resolve_data_root


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    add_data_root_option(parser)
    add_output_options(parser)


def main(options: Namespace) -> int:
    """Write every finding; the exit code is 1 if something is bad."""
    findings = diagnose_environment(resolve_data_root(options.data_root), options.out, options.device)
    if options.json:
        write_json(make_shared_report(findings))  # what issues ask for, so nothing private may be in it
    else:
        write_stdout(align_columns([(f.state, f.name, f.detail) for f in findings]))
        # below the table, because an instruction is too long for a column
        fixes = [format_one_line(f"{f.name}: {f.fix}") for f in findings if f.fix]
        if fixes:
            write_stdout("\n" + "\n".join(fixes))
    # notes (an optional package that is missing) are not errors: scripts may rely on the exit code
    return 1 if any(finding.state == "bad" for finding in findings) else 0
