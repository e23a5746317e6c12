"""Text and names as they come from people's files: other encodings than UTF-8, and other forms of one letter."""
