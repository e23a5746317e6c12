"""The contract of ``bench evaluate``: which finished model, and what a task does with it."""
