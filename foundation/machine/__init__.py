"""The machine and the interpreter: how busy, and how they are kept from slowing bench down."""
