"""Which of timm's families work in which task: each is tried, and the table in the docs is written from that."""
