"""Boards and per-item outcomes as typed tables for pandas, polars and DuckDB."""
