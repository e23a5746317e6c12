"""Finished classifiers: test one as it is, predict with it, and use it in a notebook; nothing is trained."""
