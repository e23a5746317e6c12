"""Published numbers: one TOML file per source, read strictly, and the rule for comparing them with runs of bench."""
