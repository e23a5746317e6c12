"""The pre-training methods: models and losses."""
