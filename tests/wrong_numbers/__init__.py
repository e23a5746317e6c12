"""A test for each way in which a plausible wrong number once came out, and for what must stay allowed."""
