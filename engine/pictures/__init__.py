"""The pictures of a run: which items they show, texts and legends in them, and the bytes of their files."""
