"""What is shipped, and the files around the code that people expect of a repository."""
