"""A look inside a backbone: CKA, attention distance and entropy."""
