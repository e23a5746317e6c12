"""What every backbone must keep so that every task can use it, and the suite that proves it of any of them."""
