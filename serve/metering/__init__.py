"""Usage from the engine's count to the bill: meters and journals, the ledger, prices, budgets, limits, reconciliation.
Knows no HTTP, no Ray, and nothing of what a model is beyond its name and its prices."""
