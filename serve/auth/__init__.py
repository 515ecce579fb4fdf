"""Who calls: API keys, tenants, scopes. Knows nothing of what they call."""
