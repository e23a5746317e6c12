"""Values of settings that no protocol has: ranges, types, names and lengths."""

from pathlib import Path

import pytest

from tests.bad_inputs.bad_input import BadInput, check_bad_input, name_case, read_cases

CASES: list[BadInput] = [
    *read_cases(
        """
        k=0 => k: Input should be greater than 0
        temperature=1e400 => the value '1e400' is not a finite number
        crop_pct=0 => crop_pct: Input should be greater than 0
        k=1000000000000 => k: Input should be less than or equal to 1000000000
        temperature=0 => temperature: Input should be greater than or equal to 0.0001
        temperature=1e-320 => temperature: Input should be greater than or equal to 0.0001
        crop_pct=1.0001 => crop_pct: Input should be less than or equal to 1
        workers=2000 => workers: Input should be less than or equal to 1024
        """,
        "run digits --backbone vit_nano --protocol knn --set",
    ),
    *read_cases(
        """
        grid.high=1e400 => the value '1e400' is not a finite number
        grid.low=0 => grid.low: Input should be greater than or equal to 0.000000000001
        grid.count=0 => grid.count: Input should be greater than or equal to 1
        grid.count=100000 => grid.count: Input should be less than or equal to 1000
        grid.low=5000 => grid: low 5000.0 to high 1000.0 in 29 values is not a grid
        tolerance=1 => tolerance: Input should be less than or equal to 0.01
        max_iterations=0 => max_iterations: Input should be greater than 0
        max_iterations=10000000000 => max_iterations: Input should be less than or equal to 1000000000
        """,
        "run digits --backbone vit_nano --protocol linear --set",
    ),
    *read_cases(
        """
        optimizer.lr.count=0 => optimizer.lr.count: Input should be greater than or equal to 1
        optimizer.trust=0 => optimizer.trust: Input should be greater than or equal to 0.000001
        optimizer.warmup=1000 => optimizer: warmup 1000 must be below epochs 90
        optimizer.momentum=-1 => optimizer.momentum: Input should be greater than or equal to 0
        optimizer.epochs=100000000000 => optimizer.epochs: Input should be less than or equal to 1000000000
        """,
        "run digits --backbone vit_nano --protocol linear_sgd --set",
    ),
    *read_cases(
        """
        shots=0 => shots: Input should be greater than 0
        draws=0 => draws: Input should be greater than or equal to 1
        shots=1.5 => shots: Input should be a valid integer
        percent=50 => set exactly one of shots and percent, the other to none
        draws=100000 => draws: Input should be less than or equal to 1000
        """,
        "run digits --backbone vit_nano --protocol lowshot --set",
    ),
    *read_cases(
        """
        epochs=1e400 => the value '1e400' is not a finite number
        epochs=nan => epochs: Input should be a valid integer
        epochs=10000000000 => epochs: Input should be less than or equal to 1000000000
        epochs=1.5 => epochs: Input should be a valid integer
        epochs=true => epochs: Input should be a valid integer
        'epochs=[1]' => epochs: Input should be a valid integer
        epochs= => epochs: Input should be a valid integer
        epochs => --set takes key=value, not 'epochs'
        =5 => --set takes key=value, not '=5'
        epochs=-0 => epochs: Input should be greater than 0
        optimizer.lr=1e400 => the value '1e400' is not a finite number
        optimizer.lr=1e39 => optimizer.lr: Input should be less than or equal to 3
        'optimizer.betas=[2,3]' => optimizer.betas.0: Input should be less than 1
        optimizer.betas=0.9 => optimizer.betas: Input should be a valid list
        optimizer.momentum=1 => optimizer.momentum: Input should be less than 1
        optimizer.name=Adam => optimizer.name: Input should be 'AdamW' or 'SGD'
        optimizer=1 => --set optimizer is a group
        optimizer.nope=1 => unknown configuration key 'optimizer.nope'
        batch_size=0 => batch_size: Input should be greater than 0
        accumulate=0 => accumulate: Input should be greater than 0
        workers=1000000 => workers: Input should be less than or equal to 1024
        workers=-1 => workers: Input should be greater than or equal to 0
        img_size=1000000000 => img_size: Input should be less than or equal to 16384
        img_size=0 => img_size: Input should be greater than 0
        'img_size=[32,32]' => img_size: Input should be a valid integer
        drop_path=1 => drop_path: Input should be less than 1
        drop_path=nan => drop_path: Input should be a valid number
        label_smoothing=2 => label_smoothing: Input should be less than 1
        clip_grad=0 => clip_grad: Input should be greater than 0
        clip_grad=1e400 => the value '1e400' is not a finite number
        precision=fp8 => precision: Input should be 'fp32', 'fp16' or 'bf16'
        val_interval=0 => val_interval: Input should be greater than 0
        schedule.name=step2 => schedule.name: Input should be 'cosine', 'poly' or 'step'
        schedule.warmup=10000000 => schedule.warmup 10000000 must be below the length 40
        schedule.power=1e9 => schedule.power: Input should be less than or equal to 100
        schedule.gamma=0 => schedule.gamma: Input should be greater than 0
        shift=0.6 => shift: Input should be less than or equal to 0.5
        'search.lr=[1e400]' => the value '[1e400]' is not a finite number
        train_on=test => train_on: Input should be 'train' or 'train+val'
        max_items=1 => max_items: Input should be greater than or equal to 2
        pool=max => pool: Input should be 'avg' or 'token'
        'epochs=b'"'"'1'"'"'' => the value "b'1'" is no number, text or list of these
        epochs=1j => the value '1j' is no number, text or list of these
        'epochs={1}' => the value '{1}' is no number, text or list of these
        epochs=... => the value '...' is no number, text or list of these
        'epochs={1:2}' => the value '{1:2}' is no number, text or list of these
        epoch=3 => unknown configuration key 'epoch'
        a.b.c.d=1 => y, optimizer.betas, optimizer.momentum, optimizer.nesterov,
        epochs=None => set exactly one of epochs and iterations
        iterations=5 => set exactly one of epochs and iterations
        'batch_size=1000000 accumulate=3' => batch_size: Input should be a valid integer
        epochs=9999999999999999999999999999 => the number '9999999999999999999999999999' has more than 64 bits, and no
        optimizer.lr=-0.0 => optimizer.lr: Input should be greater than or equal to 0.000000000001
        optimizer.lr=0 => optimizer.lr: Input should be greater than or equal to 0.000000000001
        'optimizer.betas=[0.9]' => optimizer.betas: List should have at least 2 items after validation
        optimizer.weight_decay=-1 => optimizer.weight_decay: Input should be greater than or equal to 0
        optimizer.weight_decay=1e300 => optimizer.weight_decay: Input should be less than or equal to 1000000
        batch_size=1000000000000 => batch_size: Input should be less than or equal to 16777216
        'loggers=[stdout]' => loggers.0: Input should be 'tensorboard', 'wandb' or 'mlflow'
        'search.layer_decay=[0]' => search.layer_decay.0: Input should be greater than or equal to 0.01
        max_items=5 => max_items limits the tiers smoke and short, and full is the complete
        """,
        "run digits --backbone vit_nano --set",
    ),
    *read_cases(
        """
        crop=0 => crop: Input should be greater than 0
        crop=1000000000 => crop: Input should be less than or equal to 16384
        test.stride=100000 => test.stride: Input should be less than or equal to 16384
        test.mode=tiles => test.mode: Input should be 'slide' or 'whole'
        train.cat_max_ratio=0 => train.cat_max_ratio: Input should be greater than 0
        train.flip=2 => train.flip: Input should be less than or equal to 1
        model=5 => code_head.loss_decode.use_sigmoid,
        'model={}' => code_head.loss_decode.use_sigmoid,
        model.decode_head.channels=1e400 => the value '1e400' is not a finite number
        'out_indices=[-1]' => out_indices.0: Input should be greater than or equal to 0
        window_batch=0 => window_batch: Input should be greater than 0
        test.stride=100 => test.stride 100 is larger than crop 64, so windows would leave gaps
        'train.ratio=[0,1]' => train.ratio.0: Input should be greater than or equal to 0.01
        'train.ratio=[2]' => train.ratio: List should have at least 2 items after validation
        'train.scale=[1]' => train.scale: List should have at least 2 items after validation
        model.decode_head.channels=100000000 => model: a number in it is not between -1000000 and 1000000
        model.decode_head.loss_decode.loss_weight=1e300 => model: a number in it is not between -1000000 and 1000000
        'out_indices=[]' => out_indices: List should have at least 1 item after validation
        'out_indices=[9999]' => out_indices.0: Input should be less than or equal to 1000
        model.decode_head.dropout_ratio=nan => model.decode_head.dropout_ratio must be a number from 0 to 1
        model.decode_head.channels=0 => model.decode_head.channels must be a number from 1 to 65536
        model.decode_head.type=5 => model.decode_head.type is 5, and not the name of a class of mmseg
        """,
        "run mini_ade --backbone vit_nano --set",
    ),
    *read_cases(
        """
        template_size=0 => template_size: Input should be greater than 0
        center_jitter=-1 => center_jitter: Input should be greater than or equal to 0
        scale_jitter=1e308 => scale_jitter: Input should be less than or equal to 10
        pairs=0 => pairs: Input should be greater than 0
        pairs=10000000000 => pairs: Input should be less than or equal to 1000000000
        max_frame_gap=0 => max_frame_gap: Input should be greater than 0
        dataset_weights.photos=0 => dataset_weights: all weights are 0
        dataset_weights.photos=1e400 => the value '1e400' is not a finite number
        head_channels=12 => head_channels: Input should be a multiple of 8
        ce.keep_ratio=0 => ce.keep_ratio: Input should be greater than 0
        norm_group=0 => norm_group: Input should be greater than 0
        track_batch=0 => track_batch: Input should be greater than 0
        max_frames=0 => max_frames: Input should be greater than 0
        runtime=tvm => runtime: Input should be 'torch', 'onnxruntime' or 'openvino'
        geometry=round => geometry: Input should be 'ostrack' or 'exact'
        grayscale=2 => grayscale: Input should be less than or equal to 1
        search_size=33 => crops of 64 and 33 px cannot be divided into the 8 x 8 patches of
        search_factor=0 => search_factor: Input should be greater than or equal to 0.1
        search_factor=1000 => search_factor: Input should be less than or equal to 100
        dataset_weights.photos=-1 => dataset_weights.photos: Input should be greater than or equal to 0
        head_channels=1000000 => head_channels: Input should be less than or equal to 65536
        'ce.blocks=[]' => ce.blocks: List should have at least 1 item after validation
        track_processes=100000 => track_processes: Input should be less than or equal to 1024
        max_frames=5 => max_frames limits the tiers smoke and short, and full is the complete
        runtime_precision=fp4 => runtime_precision: Input should be 'f32', 'bf16' or 'int8'
        """,
        "run mini_lasot --backbone vit_nano --set",
    ),
    *read_cases(
        """
        mask_ratio=1 => mask_ratio: Input should be less than 1
        mask_ratio=0 => mask_ratio: Input should be greater than 0
        decoder.width=0 => decoder.width: Input should be greater than 0
        decoder.heads=7 => decoder.width 32 cannot be split over 7 heads
        ema=1 => ema: Input should be less than 1
        'scale=[2,3]' => scale.0: Input should be less than or equal to 1
        flip=-0.1 => flip: Input should be greater than or equal to 0
        knn_monitor.k=0 => knn_monitor.k: Input should be greater than 0
        img_size=33 => dynamic_img_pad=True
        norm_pix=2 => norm_pix: Input should be a valid boolean
        patches=1 => unknown configuration key 'patches'
        decoder.width=100000 => decoder.width: Input should be less than or equal to 65536
        decoder.depth=100000 => decoder.depth: Input should be less than or equal to 1000
        'scale=[0.5,0.2]' => scale [0.5, 0.2] is not a range of fractions of the area
        'scale=[0.2]' => scale: List should have at least 2 items after validation
        knn_monitor.interval=-1 => knn_monitor.interval: Input should be greater than or equal to 0
        knn_monitor.bank_size=1 => knn_monitor.k 20 is above knn_monitor.bank_size 1
        visible_loss=1e400 => --set visible_loss: the value '1e400' is not a finite number
        positions=none2 => positions: Input should be 'fixed' or 'learned'
        img_size=100000 => img_size: Input should be less than or equal to 16384
        knn_monitor.temperature=0 => knn_monitor.temperature: Input should be greater than or equal to 0.0001
        """,
        "pretrain mae --backbone vit_nano --data digits --set",
    ),
    *read_cases(
        """
        momentum=1 => momentum: Input should be less than 1
        hidden_dim=0 => hidden_dim: Input should be greater than 0
        out_dim=0 => out_dim: Input should be greater than 0
        accumulate=0 => accumulate: Input should be greater than 0
        temperature=0 => temperature: Input should be greater than or equal to 0.001
        hidden_dim=1000000000 => hidden_dim: Input should be less than or equal to 65536
        'color_augmentation.jitter=[1,2]' => color_augmentation.jitter: List should have at least 4 items after
        'color_augmentation.jitter=[0.4,0.4,0.2,1e9]' => color_augmentation.jitter.3: Input should be less than or
        'color_augmentation.blur_p=[2,0]' => color_augmentation.blur_p.0: Input should be less than or equal to 1
        'color_augmentation.solarize_p=[-1,0]' => color_augmentation.solarize_p.0: Input should be greater than or
        """,
        "pretrain mocov3 --backbone vit_nano --data digits --set",
    ),
    *read_cases(
        """
        distill.attention=-1 => distill.attention: Input should be greater than or equal to 0
        'distill.attention_layers=[0]' => distill.attention_layers.0: Input should be greater than 0
        'distill.attention_layers=[99]' => the teacher vit_pico has no weights, and a student cannot learn from a
        'distill.hidden_layers=[-1]' => distill.hidden_layers.0: Input should be greater than or equal to 0
        distill.attention=0 => distill: attention and hidden are both 0, so nothing is distilled
        """,
        "pretrain mae_distill --backbone vit_nano --data digits --teacher vit_pico --set",
    ),
    *read_cases(
        """
        pretrain moco --backbone vit_nano --data digits --set temperature=0 => unknown pre-training method 'moco'
        pretrain simmim --backbone vit_nano --data digits --set mask_patch_size=7 => vit_nano is a VisionTransformer
        pretrain simmim --backbone vit_nano --data digits --teacher vit_pico --set mask_patch_size=0 => method simmim
        pretrain simmim --backbone vit_nano --data digits --teacher vit_pico --set mask_patch_size=7 => method simmim
        pretrain simmim --backbone vit_nano --data digits --set mask_patch_size=0 => mask_patch_size: Input should be
        pretrain simmim --backbone vit_nano --data digits --set decoder=linear => decoder: Input should be 'conv' or
        pretrain simmim --backbone vit_nano --data digits --set decoder_width=0 => decoder_width: Input should be
        pretrain simmim --backbone vit_nano --data digits --set drop_path=1 => drop_path: Input should be less than 1
        pretrain simmim_d2 --backbone swin_lite --data digits --teacher swin_lite --set decoder=conv => decoder: Input
        run digits --backbone vit_nano --protocol finetune --set fresh_norm=1 => fresh_norm: Input should be a valid
        run digits --backbone vit_nano --protocol finetune --set optimizer.swin_layers=no => optimizer.swin_layers: I
        """
    ),
]


@pytest.mark.parametrize("case", CASES, ids=name_case)
def test_settings(case: BadInput, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    check_bad_input(case, tmp_path, capfd)
