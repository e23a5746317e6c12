"""Pre-training methods: what each one computes and learns."""
