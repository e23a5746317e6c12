"""Pre-train backbones: masked autoencoding with or without a teacher, SimMIM, MoCo-v3."""
