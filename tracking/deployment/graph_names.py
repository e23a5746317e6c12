"""Names of the exported graphs: one that reads the template once, and one for every search region.

Exports of maps that were made before have a single graph of both crops, unless their template is encoded once. The
names are also those of the files, so exports that exist already must keep them.
"""

JOINT_GRAPH, TEMPLATE_GRAPH, SEARCH_GRAPH = "tracker", "remember", "recall"
