"""Verbs that compute: run, pretrain, analyze, demo."""
