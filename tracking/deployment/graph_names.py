"""Names of the exported graphs: one of template and search region; or two where the template is computed once."""

JOINT_GRAPH, TEMPLATE_GRAPH, SEARCH_GRAPH = "tracker", "remember", "recall"
