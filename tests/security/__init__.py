"""What SECURITY.md promises: nothing leaves the machine, no file of others is executed or written outside its place."""
