"""Names of the exported graphs: one graph of both crops, or two graphs if the template is encoded once.

They are also the names of the files, so exports that exist already must keep them.
"""

JOINT_GRAPH, TEMPLATE_GRAPH, SEARCH_GRAPH = "tracker", "remember", "recall"
