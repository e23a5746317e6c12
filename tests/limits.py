"""The one time limit of all tests: a net against hanging, never a measurement."""

HANG_SECONDS = 1800.0
"""After so long a child or a condition counts as hanging. The slowest takes 40 s on a quiet machine; a limit that is
near to that makes tests fail on a busy one, and says nothing about the code."""
