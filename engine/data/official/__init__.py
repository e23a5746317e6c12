"""What several uses read of official data sets: CIFAR's files, and digests of published labels."""
