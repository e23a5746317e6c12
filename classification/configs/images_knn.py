"""k-NN on frozen features of photographs; nothing is trained."""

version = 2

source = (
    "k and temperature: DINO's k-NN evaluation (Caron et al. 2021, after Wu et al. 2018); 224 px, bicubic, crop 0.9"
)

recipe = {
    "img_size": 224,
    "crop_pct": 0.9,
    "pool": "token",
    "train_on": "train+val",  # nothing is chosen on val, so its images vote, too
    "k": 20,
    "temperature": 0.07,
    "batch_size": 32,  # activations of 64 exceed what the allocator keeps, and each batch pays for new pages
}

# there is no training to shorten, but every protocol has these tiers
tiers: dict[str, dict[str, float]] = {"smoke": {"max_items": 128}, "short": {}}
