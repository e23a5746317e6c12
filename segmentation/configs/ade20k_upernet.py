"""UperNet on ADE20K, after BEiT's and MAE's configuration, with a head as wide as a tiny backbone."""

version = 1

source = (
    "optimiser, schedule, augmentation, taps, neck and test: mmsegmentation's MAE configuration for ADE20K (BEiT's "
    "recipe); head width 192 instead of 768 as in Vision Mamba's comparison of tiny backbones, auxiliary head 256. "
    "No LayerScale or relative position tables are added: the weights decide"
)

expected: dict[str, dict[str, float]] = {}  # not yet measured; no published number is known to have this protocol

recipe = {
    "iterations": 160_000,
    "batch_size": 16,
    "val_interval": 4_000,  # between checkpoints: ADE20K has no split to choose on, so the last weights are reported
    "optimizer": {"name": "AdamW", "lr": 1e-4, "weight_decay": 0.05, "betas": [0.9, 0.999], "layer_decay": 0.65},
    "schedule": {"name": "poly", "warmup": 1_500, "warmup_start": 1e-10, "end_lr": 0.0, "power": 1.0},
    "crop": 512,
    "drop_path": 0.1,
    "train": {"scale": [2048, 512], "ratio": [0.5, 2.0], "cat_max_ratio": 0.75, "flip": 0.5, "photometric": True},
    "test": {"mode": "slide", "stride": 341, "scale": [2048, 512]},
    "workers": 4,
    "model": {
        "neck": {"type": "Feature2Pyramid", "rescales": [4, 2, 1, 0.5]},
        "decode_head": {
            "type": "UPerHead",
            "in_index": [0, 1, 2, 3],
            "pool_scales": [1, 2, 3, 6],
            "channels": 192,
            "dropout_ratio": 0.1,
            "loss_decode": {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 1.0},
        },
        "auxiliary_head": {
            "type": "FCNHead",
            "in_index": 2,
            "channels": 256,
            "num_convs": 1,
            "concat_input": False,
            "dropout_ratio": 0.1,
            "loss_decode": {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 0.4},
        },
    },
}

tiers = {
    "smoke": {"iterations": 20, "schedule.warmup": 5, "val_interval": 10},
    "short": {"iterations": 16_000, "schedule.warmup": 1_500},
}
