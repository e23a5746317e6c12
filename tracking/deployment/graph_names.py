"""Names of the exported graphs: one of template and search region; or two where the template is computed once."""

JOINT, REMEMBER, RECALL = "tracker", "remember", "recall"
