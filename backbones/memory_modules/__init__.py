"""A backbone that the user hands over as a module in memory: its card, its copy for a task, its hash."""
