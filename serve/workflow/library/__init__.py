"""Drafts, versions and aliases of a tenant's workflows, the documents behind them, and what differs between two."""
