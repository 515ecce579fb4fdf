"""What calls cost: versions of prices, bills line by line, what is free, and the most that a call can cost."""
