"""What keeps a training's number honest: finite values, intact checkpoints, and what batch norm averages over."""
