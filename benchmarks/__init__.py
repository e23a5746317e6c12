"""The front desk: command line, task registry, plan, runs, sweeps."""
