"""Where weights come from: the hub, packages, folders; and what a name that is none of them may have meant."""
