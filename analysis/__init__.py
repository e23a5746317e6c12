"""Analyses of what backbones have learned; each module computes, draws and records one analysis."""
