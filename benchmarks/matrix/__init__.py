"""Many cells as one piece of work: suites, plans, and executors on one machine or on a cluster."""
