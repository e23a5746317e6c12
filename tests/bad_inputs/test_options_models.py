"""Names and options that the verbs of models cannot use."""

from pathlib import Path

import pytest

from tests.bad_inputs.bad_input import BadInput, check_bad_input, name_case, read_cases

CASES: list[BadInput] = [
    *read_cases(
        """
        profile nonsense => unknown backbone 'nonsense'
        profile vit_nano nonsense => unknown backbone 'nonsense'
        profile vit_nano --img-size 7 => dynamic_img_pad=True
        profile vit_nano --protocol ostrack256 => --protocol belongs to the protocol of a task
        profile vit_nano --task tracking --protocol nonsense => tracking has no protocol 'nonsense'
        profile vit_nano --task tracking --set epochs=1e400 => --set epochs: the value '1e400' is not a finite number
        profile vit_nano --set a=1 => --set belongs to the protocol of a task
        profile vit_nano --runtime openvino => --runtime belongs to the protocol of a task
        profile vit_nano --device mps => no GPU of a Mac (MPS) is available to torch here
        export nonsense --format onnx --runs empty => no run 'nonsense'
        export folder --format onnx --runs empty => no run 'folder'
        export x --format tflite => --format: invalid choice
        export x => required: --format
        export x --format onnx --size 0x0 => --size: must be dynamic, or height x width such as 512x512
        export x --format onnx --size 100000x1 => --size: must be dynamic, or height x width such as 512x512
        export x --format onnx --size 512 => --size: must be dynamic, or height x width such as 512x512
        export x --format onnx --runs nowhere => no folder of runs at nowhere
        predict folder => required: --out
        predict nowhere --run x --out p => no folder of runs at runs
        predict folder --out p => no model is named
        predict folder --backbone nonsense --out p => folder holds no images (.jpg, .png and others)
        predict folder --backbone vit_nano --out p => folder holds no images (.jpg, .png and others)
        predict folder --config file.txt --checkpoint file.txt --out p => folder holds no images (.jpg, .png and others)
        predict folder --config missing.py --checkpoint file.txt --out p => folder holds no images (.jpg, .png and
        predict folder --run x --out p --set a => no folder of runs at runs
        track folder --init 1,2,3,4 --run nowhere => folder has no images (.avif, .bmp, .gif, .j2k, .jfif, .jp2, .jpe,
        track folder --init 1,2,3,4 --run file.txt => folder has no images (.avif, .bmp, .gif, .j2k, .jfif, .jp2, .jpe,
        track nowhere.mp4 --init 1,2,3,4 --run x => there is no video file or folder nowhere.mp4
        track folder --init 0,0,1e400,1 --run x => --init: must be four numbers x,y,w,h, or select
        track folder --init 1,2,3 --run x => --init: must be four numbers x,y,w,h, or select
        track folder --init 1_0,2,3,4 --run x => --init: must be four numbers x,y,w,h, or select
        track folder --init ,,, --run x => --init: must be four numbers x,y,w,h, or select
        track folder --init 1,2,3,4, --run x => --init: must be four numbers x,y,w,h, or select
        track folder --init nan,1,1,1 --run x => --init: must be four numbers x,y,w,h, or select
        track folder --init 0x1,1,1,1 --run x => --init: must be four numbers x,y,w,h, or select
        track folder --init 1,2,3,4 --run x --lost-threshold 2 => --lost-threshold 2 cannot be compared with a
        track folder --init 1,2,3,4 --run x --lost-threshold nan => --lost-threshold: must be a number
        track /dev/null --init 1,2,3,4 --run x => there is no video file or folder /dev/null
        track 99999 --init 1,2,3,4 --run x => there is no camera 99999, or another program holds it
        add backbone my --checkpoint missing.pth => there is no checkpoint at missing.pth
        add backbone 'My Name' --checkpoint file.txt => 'My Name' is not a valid name for a backbone
        add backbone ../x --checkpoint file.txt => '../x' is not a valid name for a backbone
        add backbone a/b --checkpoint file.txt => 'a/b' is not a valid name for a backbone
        add backbone vit_nano --checkpoint file.txt => vit_nano is a backbone of bench already
        add backbone my --from nowhere => cannot read nowhere/record.json: [Errno 2] No such file or directory:
        add backbone my --from folder => cannot read folder/record.json: [Errno 2] No such file or directory:
        add backbone my --from folder --arch vit_nano => --arch belong to --checkpoint
        add backbone my => one of the arguments --from --checkpoint is required (see: bench add
        add backbone my --from a --checkpoint b => --checkpoint: not allowed with argument --from
        add backbone my --checkpoint file.txt --mean 0.5 => file.txt is not a checkpoint that torch or safetensors can
        add task x --from y => noun: invalid choice
        profile vit_nano --task tracking --batch 2 => --batch has no meaning for --task tracking: its protocol sets the
        profile vit_nano --task tracking --set template_size=100000 => template_size: Input should be less than or
        predict folder --checkpoint file.txt --out p => file.txt is not in the folder of a run, so nothing says what
        track folder --init 1,2,3,4 --run x --precision bf16 => folder has no images (.avif, .bmp, .gif, .j2k, .jfif,
        add backbone my --checkpoint file.txt --arch nonsense => file.txt is not a checkpoint that torch or safetensors
        """
    ),
]


@pytest.mark.parametrize("case", CASES, ids=name_case)
def test_models(case: BadInput, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    check_bad_input(case, tmp_path, capfd)
