"""Published numbers: one TOML file a source, read strictly, and which of ours each may stand beside."""
