"""A look inside backbones: one file for each analysis (what it computes, draws and records)."""
