"""Load a weight file into a model: read it safely, detect its format, rename and resize its tensors, report on each.

The steps in order: ``read_checkpoint`` and ``formats``, then ``conversion``, ``beit``, ``resize`` and
``attention_heads``, all called by ``load_weights``.
"""
