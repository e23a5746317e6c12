"""Verbs that train, evaluate and analyze: run, pretrain, analyze, demo."""
