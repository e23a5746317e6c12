"""The pre-training recipes.

The first file that exists is used: ``<method>_<architecture>.py``, ``<method>_<data>.py``, ``<method>.py``.
"""
