"""How a backbone is made: masked autoencoding, with a teacher or without, SimMIM, MoCo-v3."""
