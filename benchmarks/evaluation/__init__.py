"""Evaluate finished models, and predict with them: what ``bench evaluate`` and ``bench predict`` do."""
