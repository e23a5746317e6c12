"""What happens to runs when the process, the disk or the machine fails."""
