"""Folders as people have them: each is used as it is meant, or refused with a sentence that says how to go on."""
