"""The contract that a backbone must satisfy so that every task can use it, and the suite that checks it.

``bench check`` runs the suite; every registered backbone, plug-ins included, must pass it.
"""
