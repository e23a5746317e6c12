"""Statistics of records: confidence intervals, paired tests and ranks."""
