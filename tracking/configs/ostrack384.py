"""OSTrack at 384 px with candidate elimination (arXiv 2203.11991, experiments/ostrack/vitb_384_mae_ce_32x4_ep300)."""

_base_ = "ostrack256.py"

recipe = {
    "template_size": 192,
    "search_size": 384,
    # the search region is wider than at 256 px, and so is the jitter
    "search_factor": 5.0,
    "center_jitter": 4.5,
    "scale_jitter": 0.5,
    # as in ostrack256_ce
    "use_ce": True,
    "ce": {"blocks": [3, 6, 9], "keep_ratio": 0.7, "begin": 19, "end": 99},
}

tiers = {
    # the schedule of the elimination is shortened along with the training
    "smoke": {"ce.begin": 0, "ce.end": 1},
    "short": {"ce.begin": 1, "ce.end": 9},
}
