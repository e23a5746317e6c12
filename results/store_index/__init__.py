"""What the records of stores say, without opening records that were read before."""
