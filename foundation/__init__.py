"""What every room stands on: errors, the registry class, environment variables, atomic files. Imports no torch."""
