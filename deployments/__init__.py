"""Slipway on Ray: the composition roots and the model families. Ray lives here and nowhere else."""
