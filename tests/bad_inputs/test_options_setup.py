"""Names and options that the verbs of the installation cannot use."""

from pathlib import Path

import pytest

from tests.bad_inputs.bad_input import BadInput, check_bad_input, name_case, read_cases

CASES: list[BadInput] = [
    *read_cases(
        """
        get => say either what to fetch (weights NAME, data TASK) or one of --list,
        get weights => say which weights to fetch: bench get weights NAME
        get weights nonsense => unknown backbone 'nonsense'
        get data nonsense => unknown task 'nonsense'
        get weights vit_nano --offline => vit_nano has no weights to get: it starts from random ones
        get --list => --list and --pack need --tasks or --backbones, and these two are for them
        get --tasks digits => say either what to fetch (weights NAME, data TASK) or one of --list,
        get --list --tasks nonsense => unknown task 'nonsense'
        get --list --backbones nonsense => unknown backbone 'nonsense'
        get --pack x.tar.zst => --list and --pack need --tasks or --backbones, and these two are for them
        get --pack x.zip --tasks digits => there is nothing to pack (nothing is needed)
        get --unpack missing.tar.zst => cannot unpack missing.tar.zst: [Errno 2] No such file or directory:
        get --unpack file.txt => file.txt
        get --unpack folder => cannot unpack folder: [Errno 21] Is a directory
        get --unpack /dev/null => cannot unpack /dev/null: it is not a regular file
        get data ade20k --offline --data-root empty => ADE20K is not downloaded automatically: fetch
        get --list --pack x --tasks digits => --pack: not allowed with argument --list
        get --with-data --list --tasks digits => --with-data is for --pack
        get toys x => noun: invalid choice
        check backbone nonsense => unknown backbone 'nonsense'
        check data nonsense => unknown task 'nonsense'
        check task digits => bench check task digits has one check so far, so name it: add --controls
        check task nonsense --controls => unknown task 'nonsense'
        check data imagefolder --data-root empty => empty has no class folders
        check data ade20k --data-root nowhere => no ADE20K under nowhere: looked for ADEChallengeData2016 or ade20k or
        check data digits --sheet x.jpg => the contact sheet is a PNG image, and x.jpg does not end in .png
        check data digits --sheet folder => the contact sheet is a PNG image, and folder does not end in .png
        check backbone vit_nano --img-size 7 => dynamic_img_pad=True
        check task digits --controls --protocol nonsense => task digits has no protocol 'nonsense'
        check data digits --target 1 => task digits has no --target: its layout is fixed
        check data digits --sheet missing/dir/x.png => the contact sheet missing/dir/x.png cannot be
        check cheese x => noun: invalid choice
        cache --prune -1 => --prune: must be a number of days, 0 or above
        cache --prune nan => --prune: must be a number of days, 0 or above
        cache --prune 1e400 => --prune: must be a number of days, 0 or above
        cache extra => unrecognized arguments: extra (see: bench cache --help)
        doctor --device tpu => --device: invalid choice
        doctor extra => unrecognized arguments: extra (see: bench doctor --help)
        """
    ),
]


@pytest.mark.parametrize("case", CASES, ids=name_case)
def test_setup(case: BadInput, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    check_bad_input(case, tmp_path, capfd)
