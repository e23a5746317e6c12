"""Follow targets with a trained tracker: one sequence, a test set on several processes, or batches on a GPU."""
