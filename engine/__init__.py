"""Code that every training uses: mmengine glue, hooks, schedules, seeds and the Task contract."""
