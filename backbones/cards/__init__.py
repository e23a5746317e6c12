"""The built-in backbone cards, one module per family. Nothing here imports torch.

``backbones.registry`` lists their names. The published numbers in ``facts`` carry their source.
"""
