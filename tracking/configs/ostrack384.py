"""OSTrack at 384 px with candidate elimination (arXiv 2203.11991, vitb_384_mae_ce_32x4_ep300)."""

_base_ = "ostrack256.py"

recipe = {
    "template_size": 192,
    "search_size": 384,
    "search_factor": 5.0,
    "centre_jitter": 4.5,
    "scale_jitter": 0.5,
    "elimination": True,
    "eliminate": {"blocks": [3, 6, 9], "keep": 0.7, "begin": 20, "end": 100},
}

tiers = {
    "smoke": {"eliminate.begin": 0, "eliminate.end": 1},
    "short": {"eliminate.begin": 2, "eliminate.end": 10},
}
