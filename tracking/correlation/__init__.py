"""The small tracker that bench ships, and how it is made."""
