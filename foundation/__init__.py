"""The base that every other package imports: errors, registries, environment variables, atomic files.

Nothing here imports torch, so that listing names or reading records stays fast.
"""
