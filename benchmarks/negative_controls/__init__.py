"""Negative controls of a task: run its protocols on data without signal, judge the scores, and report them."""
