"""What can be said over all boards: a row per backbone, mean ranks, and how far the boards agree."""
