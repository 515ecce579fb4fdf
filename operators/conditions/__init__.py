"""How each resource is doing: its status, as conditions that roll up."""
