"""Names and options that the verbs of results cannot use."""

from pathlib import Path

import pytest

from tests.bad_inputs.bad_input import BadInput, check_bad_input, name_case, read_cases

CASES: list[BadInput] = [
    *read_cases(
        """
        table --runs nowhere => no folder of runs at nowhere
        table --runs file.txt => no folder of runs at file.txt
        table --task nonsense --runs empty => no run of task 'nonsense'
        table --runs empty --single-file => --single-file says how the page is written
        table --runs empty --out x --html y => --out is for text and Parquet, and --html for a page
        table --runs empty --format parquet => a Parquet file is no text for stdout
        table --runs empty --out folder => cannot write to folder: it is a folder; name a file
        table --runs empty --html file.txt => cannot write to the output folder file.txt (something of this
        table --runs empty --sort nonsense => --sort: invalid choice
        table --runs empty --pareto price => --pareto: invalid choice
        table --runs LONG/x => no folder of runs at
        table --runs empty --out missing/dir/x.md => cannot write missing/dir/x.md: its folder is not there
        choose --task digits --under 10 => --under 10 is no limit
        choose --task digits --under 1e400ms => --under 1e400ms is no limit
        choose --task digits --under -1ms => --under: expected at least one argument
        choose --task digits --under 10ms 5ms => --under 10ms and 5ms both limit the latency
        choose --task digits --under 10parsecs => --under 10parsecs is no limit
        choose --task nonsense --under 10ms --runs empty => no run of task 'nonsense'
        choose --task digits --under 10ms --runs nowhere => no folder of runs at nowhere
        choose --task digits --under 5MB --setup '4 threads' --runs empty => no run of task 'digits'
        choose --under 10ms => required: --task
        choose --task digits --under 10ms --protocol LONG --runs empty => no run of task 'digits'
        choose --task digits --under 0ms --runs empty => no run of task 'digits'
        items --out x.csv --runs nowhere => no folder of runs at nowhere
        items abc --out x.csv --runs nowhere => no folder of runs at nowhere
        items abc --task digits --out x.csv => --task, --tier and --backbone choose among leaderboards
        items --out folder --runs empty => cannot write to folder: it is a folder; name a file
        items --out x.csv --runs empty --task nonsense => no run of task 'nonsense'
        items --format xlsx --out x => --format: invalid choice
        compare a b --runs nowhere => no folder of runs at nowhere
        compare vit_nano vit_nano --runs empty => no run 'vit_nano'
        compare a@b@c @ --runs empty => no run 'a@b@c'
        compare folder file.txt --runs empty => no run 'folder'
        verify nowhere => no folder of runs at nowhere
        verify file.txt => no folder of runs at file.txt
        verify empty => there is no record at empty
        verify /dev/null => no folder of runs at /dev/null
        verify LONG => no folder of runs at
        verify folder --data-root file.txt => there is no record at folder
        merge nowhere --out x => there is no folder
        merge empty --out x => nothing was merged: there is no record in empty
        merge file.txt --out x => there is no folder
        merge empty --out empty => nothing was merged: there is no record in empty
        merge empty --out file.txt => file.txt is not a folder
        pack nowhere -o x.tar.zst => there is no folder nowhere
        pack empty -o x.zip => empty has to hold one store, but holds none
        pack empty -o x.tar.zst => empty has to hold one store, but holds none
        pack file.txt -o x.tar.zst => there is no folder file.txt
        pack empty -o missing/x.tar.zst => empty has to hold one store, but holds none
        pack empty => required: -o/--output
        submit nowhere => there is no folder nowhere
        submit file.txt -o x.tar.zst => there is no folder file.txt
        score => required: SET, --results
        score nonsense --results folder => unknown set 'nonsense'
        score lasot --results nowhere => --results nowhere is not a folder
        score lasot --results file.txt => --results file.txt is not a folder
        score lasot --results folder => there is no ground truth of LaSOT testing set in data (nor in data/lasot,
        score lasot --results empty --data-root empty => there is no ground truth of LaSOT testing set in empty (nor in
        score lasot --results empty --rules best => --rules: invalid choice
        score got10k --results empty --out file.txt => unknown set 'got10k'
        score otb100 --results empty --by colour => --by: invalid choice
        score mini_lasot --results empty --plots file.txt => bench score reads no result files of mini_lasot
        list => required: noun
        list things => noun: invalid choice
        list runs --runs nowhere => no folder of runs at nowhere
        list runs --runs file.txt => no folder of runs at file.txt
        list runs --runs LONG/y => no folder of runs at
        show backbone nonsense => unknown backbone 'nonsense'
        show task LONG => unknown task
        show run abc --runs nowhere => no folder of runs at nowhere
        show run abc --runs empty => no run 'abc'
        show thing x => noun: invalid choice
        show run file.txt --runs empty => no run 'file.txt'
        show run folder --runs empty => no run 'folder'
        show backbone timm/nonsense => timm has no model 'nonsense'
        """
    ),
]


@pytest.mark.parametrize("case", CASES, ids=name_case)
def test_results(case: BadInput, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    check_bad_input(case, tmp_path, capfd)
