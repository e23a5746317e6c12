"""The records of runs: their schema, their identity, how they are stored and how they are verified."""
