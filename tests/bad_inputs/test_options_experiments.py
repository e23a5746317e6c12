"""Names and options that the verbs of experiments cannot use."""

from pathlib import Path

import pytest

from tests.bad_inputs.bad_input import BadInput, check_bad_input, name_case, read_cases

CASES: list[BadInput] = [
    *read_cases(
        """
        --protocol nonsense => task digits has no protocol 'nonsense'
        --protocol LONG => task digits has no protocol
        --protocol as_is => protocol as_is tests a finished model, and nothing is trained
        --checkpoint missing.pth => there is no checkpoint at missing.pth
        --checkpoint folder => the checkpoint folder is a folder without weights
        --checkpoint /dev/null => /dev/null is not a file but a device or pipe
        --checkpoint /dev/zero => /dev/zero is not a file but a device or pipe
        --mean 0.5 0.5 0.5 => --mean needs --std: the normalization of the input has both
        --label ' ' => an empty word ' ' after '--label'
        --data-scale 0 => data scale 0 is not a fraction of the training data, above 0 to 1
        --data-scale 2 => data scale 2 is not a fraction of the training data, above 0 to 1
        --data-scale -0.0 => data scale 0 is not a fraction of the training data, above 0 to 1
        --shots 1 => --shots and --percent are for --protocol lowshot
        --percent 0 --protocol lowshot => percent: Input should be greater than
        --percent 101 --protocol lowshot => percent: Input should be less than or equal to 100
        --percent -5 --protocol lowshot => percent: Input should be greater than
        --exclude a => task digits has no --exclude: its layout is fixed
        --map 255 => task digits has no --map: its layout is fixed
        --labels missing.csv => task digits has no --labels: its layout is fixed
        --colours missing.csv => task digits has no --colours: its layout is fixed
        --target 1 => task digits has no --target: its layout is fixed
        --ignore 3 => task digits has no --ignore: its layout is fixed
        --layout splits => task digits has no --layout: its layout is fixed
        --out file.txt => cannot write to the output folder file.txt (something of this
        --out /dev/null => cannot write to the output folder /dev/null (something of this
        --out /proc/x => cannot write to the output folder /proc/x (its folder is not there
        --runtime openvino => --runtime is for tracking tasks, and digits is not one
        --teacher vit_pico => the task's first protocol has no teacher; leave --teacher out, or add --protocol
        --teacher LONG --protocol knn => protocol knn has no teacher; leave --teacher out
        --teacher-checkpoint missing.pth --protocol linear => protocol linear has no teacher; leave --teacher-checkpoint
        --teacher vit_pico --protocol finetune_distill => task digits has no protocol 'finetune_distill'
        --launcher slurm => --launcher slurm needs the variables of srun (SLURM_STEP_ID,
        --device cuda:99 => --device: invalid choice
        --seeds 0 4294967296 => --seeds: must be at most 4294967295
        --checkpoint file.txt => file.txt is not a checkpoint that torch or safetensors can read
        --checkpoint https://example.com/x.pth --offline => --checkpoint https://example.com/x.pth is an address
        --weights-key model => --weights-key model names weights in a file, and the run starts from
        --mean 1e30 0 0 --std 1 1 1 => --mean 1e+30 0 0 looks as if it were for pixels from 0 to 255
        --std 0 0 0 --mean 0 0 0 => for pixels from 0 to 1, --mean has values from 0 to 1, and --std values
        --mean 0.5 --std 0.5 => --mean 0.5 must have one value per channel, and vit_nano has 3 channels
        --mean 1 2 3 4 --std 1 1 1 1 --checkpoint missing.pth => --mean 1 2 3 4 must have one value per channel, and
        --shots 1000000000 --protocol lowshot => class 8 has 113 training images and cannot give 1000000000 shots
        --exclude /abs => the options of the data are wrong: exclude.0: '/abs' is not a path below
        --exclude ../x => the options of the data are wrong: exclude.0: '../x' is not a path below
        --data-scale 1e-300 => data scale 1e-300 is below 1e-08, less than one item of any data set
        """,
        "run digits --backbone vit_nano",
    ),
    *read_cases(
        """
         => vit_nano has no weights, and a network of random numbers is no finished
        --img-size 0 => img_size: Input should be greater than 0
        --img-size 1e9 => img_size: Input should be a valid integer
        --crop-pct nan => crop_pct: Input should be a valid number
        --crop-pct 1e400 => --set crop_pct: the value '1e400' is not a finite number
        --mode tiles => a finished classifier has no setting 'mode'
        --set nope=1 => a finished classifier has no setting 'nope'
        --set 'mean=[2,2,2]' 'std=[1,1,1]' => mean and std are for pixel values in 0 to 1
        --interpolation cubic => interpolation: Input should be 'bicubic', 'bilinear', 'nearest',
        --runtime openvino --precision int8 => vit_nano has no weights, and a network of random numbers is no finished
        --real-labels missing.json => vit_nano has no weights, and a network of random numbers is no finished
        """,
        "evaluate digits --backbone vit_nano",
    ),
    *read_cases(
        """
        --budget 8 => --budget: must be a time above 0 such as 8h, 90m or 2d
        --budget 1e400h => --budget: must be a time above 0 such as 8h, 90m or 2d
        --budget 0h => --budget: must be a time above 0 such as 8h, 90m or 2d
        --memory 0 => --memory 0 is not a size above 0
        --runs nowhere => no folder of runs at nowhere
        --gpus 1 --device cpu => --gpus and --device cpu exclude each other
        --protocols nonsense => no task of digits has a protocol 'nonsense' (known: finetune, knn, linear,
        --data-scale 0 => data scale 0 is not a fraction of the training data, above 0 to 1
        --teacher vit_pico => no cell has a teacher; leave --teacher out, or add --protocols finetune_distill
        --teacher-checkpoint missing.pth => no cell has a teacher; leave --teacher out, or add --protocols
        """,
        "plan --tasks digits --backbones vit_nano",
    ),
    *read_cases(
        """
        --out file.txt => cannot write to the output folder file.txt (something of this
        --seeds 4294967296 => --seeds: must be at most 4294967295
        --teacher vit_pico => no cell has a teacher; leave --teacher out, or add --protocols finetune_distill
        --slots 1 --executor slurm => --slots is for --executor local or ray, and this sweep has --executor
        --address x:1 => --address is for --executor ray, and this sweep has --executor local
        --partition p => --partition is for --executor slurm, and this sweep has --executor local
        --time x => --time is for --executor slurm, and this sweep has --executor local
        --sbatch a=b => --sbatch is for --executor slurm, and this sweep has --executor local
        --array-size 2 => --array-size is for --executor slurm, and this sweep has --executor local
        """,
        "sweep --tasks digits --backbones vit_nano",
    ),
    *read_cases(
        """
        run nonsense --backbone vit_nano => unknown task 'nonsense'
        run LONG --backbone vit_nano => unknown task
        run ./digits --backbone vit_nano => unknown task './digits'
        run DIGITS --backbone vit_nano => unknown task 'DIGITS'
        run file.txt --backbone vit_nano => unknown task 'file.txt'
        run digits --backbone LONG => unknown backbone
        run digits --backbone timm/nonsense => timm has no model 'nonsense'
        run digits --backbone timm/ => timm has no model ''
        run digits --backbone timm/LONG => timm has no model
        run digits --backbone hf-hub: --offline => hf-hub: does not name a repository of the hub
        run digits --backbone ../vit_nano => unknown backbone '../vit_nano'
        run digits --backbone file.txt => unknown backbone 'file.txt'
        run ade20k --backbone vit_nano => no ADE20K under data: looked for ADEChallengeData2016 or ade20k or ade,
        run imagefolder --backbone vit_nano --data-root empty => empty has no class folders
        evaluate digits => no model is named
        evaluate digits --run nonsense => no folder of runs at runs
        evaluate digits --run LONG => no folder of runs at runs
        evaluate digits --config file.txt --checkpoint file.txt => --config is for mmsegmentation
        evaluate nonsense --backbone vit_nano => unknown task 'nonsense'
        evaluate digits --checkpoint missing.pth => there is no checkpoint at missing.pth
        evaluate digits --checkpoint file.txt => file.txt is not in the folder of a run, so nothing says what network it
        evaluate mini_ade --backbone vit_nano --mode tiles => mode: Input should be 'slide' or 'whole'
        evaluate mini_ade --run empty --mode tiles => no folder of runs at runs
        evaluate mini_lasot --run empty --img-size 5 => no folder of runs at runs
        evaluate digits --run empty => no folder of runs at runs
        evaluate digits --run empty --set batch_size=1000000000000 => no folder of runs at runs
        evaluate digits --run file.txt => no folder of runs at runs
        evaluate digits --runs nowhere --run abc => no folder of runs at nowhere
        plan => no task is named
        plan --tasks nonsense --backbones vit_nano => unknown task 'nonsense'
        plan --tasks digits --backbones nonsense => unknown backbone 'nonsense'
        plan --tasks digits --backbones vit_nano@ => backbone 'vit_nano@' names no start weights after the @
        plan --tasks digits --backbones @ => backbone '@' names no start weights after the @
        plan --file missing.toml => cannot read the suite missing.toml: No such file or directory
        plan --file file.txt => suite file.txt is not TOML: Expected '=' after a key in a key/value pair
        plan --file folder => cannot read the suite folder: Is a directory
        plan --file LONG => cannot read the suite
        sweep => no task is named
        sweep --tasks nonsense --backbones vit_nano => unknown task 'nonsense'
        pretrain nonsense --backbone vit_nano --data digits => unknown pre-training method 'nonsense'
        pretrain mae --backbone nonsense --data digits => unknown backbone 'nonsense'
        pretrain mae --backbone vit_nano --data nonsense => unknown pre-training data 'nonsense'
        pretrain mae --backbone vit_nano --data digits --teacher vit_pico => method mae has no teacher
        pretrain dmae --backbone vit_nano --data digits => unknown pre-training method 'dmae'
        pretrain mae --backbone vit_nano --data digits --teacher-checkpoint missing.pth => method mae has no teacher
        pretrain mae --backbone vit_nano --data digits --knn-data nonsense => unknown pre-training data 'nonsense'
        pretrain mae --backbone vit_nano --data digits --checkpoint missing.pth => there is no checkpoint at missing.pth
        analyze => required: WHAT
        analyze nonsense => WHAT: invalid choice
        analyze cka vit_nano nonsense => unknown backbone 'nonsense'
        analyze cka vit_nano vit_pico --data nonsense => unknown task 'nonsense'
        analyze cka vit_nano vit_pico --split nonsense => task digits has no split 'nonsense'
        analyze cka vit_nano vit_pico --split LONG => task digits has no split
        analyze cka vit_nano vit_pico --checkpoint-a missing.pth => there is no checkpoint at missing.pth
        analyze cka vit_nano vit_pico --checkpoint-b folder => the checkpoint folder is a folder without weights
        analyze cka vit_nano vit_pico --images 1 => this analysis needs 4 images or more, not 1
        analyze cka vit_nano vit_pico --img-size 100000 => --img-size: must be at most 16384
        analyze cka vit_nano vit_pico --seed 4294967296 => --seed: must be at most 4294967295
        analyze cka vit_nano vit_pico --out file.txt => cannot write to the output folder file.txt (something of this
        analyze attention resnet50 => unknown backbone 'resnet50'
        analyze attention vit_nano --pictures 5000 => --pictures: must be at most 1000
        analyze layers vit_nano --task nonsense => unknown task 'nonsense'
        analyze data-scale vit_nano --task digits --checkpoint a b => --checkpoint takes one file per backbone: 1, not 2
        analyze data-scale vit_nano --task digits --set epochs=1e400 => --set epochs: the value '1e400' is not a finite
        analyze data-scale vit_nano vit_nano --task digits --seeds 0 0 --protocol nope => --seeds has the same value
        analyze spectrum vit_nano --images 1 => this analysis needs 2 images or more, not 1
        analyze pca vit_nano --pictures 0 => --pictures: must be a whole number above 0
        analyze neighbours vit_nano --queries 1001 => --queries: must be at most 1000
        analyze neighbours vit_nano --images 2 --neighbours 7 => this analysis needs 8 images or more, not 2
        analyze spectrum vit_nano --data imagefolder --data-root empty => empty has no class folders
        demo --out file.txt => cannot write to the output folder file.txt (something of this
        demo --device tpu => --device: invalid choice
        pretrain mae_distill --backbone vit_nano --data digits --teacher nonsense => unknown backbone 'nonsense'
        run ade20k --backbone vit_nano --data-root file.txt => no ADE20K under file.txt: looked for
        run segfolder --backbone vit_nano --data-root folder => no segfolder under folder: looked for classes.txt (one
        run trackfolder --backbone vit_nano --data-root folder => there is no sequence at or below folder: a sequence
        run segfolder --backbone vit_nano --data-root folder --map a=b=c => no segfolder under folder: looked for
        run segfolder --backbone vit_nano --data-root folder --map 99999999999999999999=1 => no segfolder under folder:
        evaluate imagenet --backbone vit_nano --real-labels missing.json => vit_nano has no weights, and a network of
        pretrain mae --backbone vit_nano --data folder --data-root folder => 1 file below folder belongs to nothing
        analyze cka vit_nano vit_pico --mean 0 0 0 => --weights-key, --mean and --std belong to a weight file, and none
        analyze layers vit_nano --task digits --first 99 => vit_nano has random weights, so keeping some of its blocks
        analyze layers vit_nano --task digits --protocol nonsense => vit_nano has random weights, so keeping some of
        analyze layers vit_nano --task digits --data-scale 0 => vit_nano has random weights, so keeping some of its
        analyze data-scale vit_nano --task digits --data-scale 2 => data scale 2 is not a fraction of the training
        pretrain mae_distill --backbone vit_nano --data digits => method mae_distill needs a teacher: --teacher NAME,
        """
    ),
]


@pytest.mark.parametrize("case", CASES, ids=name_case)
def test_experiments(case: BadInput, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    check_bad_input(case, tmp_path, capfd)
