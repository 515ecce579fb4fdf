"""What a process writes down of its calls before anything else knows of them, and how it reaches the ledger."""
