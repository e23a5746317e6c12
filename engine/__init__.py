"""What every training shares: runner glue, hooks, schedules, seeds, the Task contract."""
