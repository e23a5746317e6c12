"""UperNet on ADE20K after the configurations of BEiT and MAE, with a head as wide as a tiny backbone."""

version = 1

source = (
    "optimizer, schedule, augmentation, feature maps, neck and test: mmsegmentation's MAE configuration for ADE20K "
    "(BEiT's recipe); head width 192 instead of 768 as in Vision Mamba's comparison of tiny backbones, auxiliary head "
    "256. LayerScale and relative position tables are never added; a model has them only if its weights have them"
)

expected: dict[str, dict[str, float]] = {}  # not yet measured; we know of no published number with this protocol

recipe = {
    "iterations": 160_000,
    "batch_size": 16,
    # iterations between checkpoints; ADE20K has no split to choose on, so the last weights are reported
    "val_interval": 4_000,
    # mae-base_upernet_8xb2-amp-160k_ade20k-512x512.py of mmsegmentation, up to the test
    "optimizer": {"name": "AdamW", "lr": 1e-4, "weight_decay": 0.05, "betas": [0.9, 0.999], "layer_decay": 0.65},
    # the warm-up starts at 1e-6 of the rate
    "schedule": {"name": "poly", "warmup": 1_500, "warmup_start": 1e-10, "end_lr": 0.0, "power": 1.0},
    "crop": 512,
    "drop_path": 0.1,
    # mmseg's pipeline for ADE20K: the shorter side becomes 512 px, the longer one at most 2048 px, times 0.5 to 2
    "train": {"scale": [2048, 512], "ratio": [0.5, 2.0], "cat_max_ratio": 0.75, "flip": 0.5, "photometric": True},
    # windows of the crop's size; a stride of 341 px lets neighbors overlap by a third
    "test": {"mode": "slide", "stride": 341, "scale": [2048, 512]},
    "workers": 4,
    "model": {
        "neck": {"type": "Feature2Pyramid", "rescales": [4, 2, 1, 0.5]},
        "decode_head": {
            "type": "UPerHead",
            "in_index": [0, 1, 2, 3],  # all four maps
            "pool_scales": [1, 2, 3, 6],
            "channels": 192,  # decides the cost of the model: 512 channels need five times as many MACs
            "dropout_ratio": 0.1,
            "loss_decode": {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 1.0},
        },
        "auxiliary_head": {
            "type": "FCNHead",
            "in_index": 2,  # the third of the four maps: of a ViT with 12 blocks the one after block 7
            "channels": 256,
            "num_convs": 1,
            "concat_input": False,
            "dropout_ratio": 0.1,
            "loss_decode": {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 0.4},
        },
    },
}

tiers = {
    # only shows that the protocol runs
    "smoke": {
        "iterations": 4,
        "batch_size": 2,
        "schedule.warmup": 1,
        "val_interval": 2,
        "crop": 128,
        "train.scale": [512, 128],
        "test.scale": [512, 128],
        "test.stride": 85,
        "max_items": 4,
    },
    "short": {"iterations": 16_000, "schedule.warmup": 1_500},
}
