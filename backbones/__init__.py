"""What a backbone is: cards, architectures, checkpoint loading, cost profile."""
