"""What may be spent: budgets and credit, the slices of them that gateways hold, and how spending settles them."""
