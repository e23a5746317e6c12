"""What a training shows and logs while it runs."""
