"""What a backbone costs: parameters, multiply-adds, memory, and time on this machine."""
