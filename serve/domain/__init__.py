"""The vocabulary. Frozen values and protocols: no I/O, no clock, no environment, no randomness."""
