"""Records of runs: schema, identity, store, verification."""
