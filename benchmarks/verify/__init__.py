"""``bench verify``: records against their task, data, backbone, command and ledger, and runs that are made again."""
