"""The recipes of pre-training: ``<method>.py``, or ``<method>_<data>.py`` where a set has one of its own."""
