"""The best rows of a board under limits of latency, size, operations or parameters."""
