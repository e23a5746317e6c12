"""k-NN on frozen features of scikit-learn's digits; nothing is trained."""

version = 2

source = (
    "k and temperature: DINO's k-NN evaluation (Caron et al. 2021, after Wu et al. 2018); input as in digits_finetune"
)

# top-1 on test in % with random weights: mean over seeds 0 to 4 (43.5 to 47.4 in all)
expected = {"vit_nano": 46.1, "vit_pico": 45.4}

recipe = {"img_size": 32, "pool": "avg", "k": 20, "temperature": 0.07}

# there is nothing to shorten, but every protocol has these tiers
tiers: dict[str, dict[str, float]] = {"smoke": {}, "short": {}}
