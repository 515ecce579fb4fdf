"""The engines: the only importers of model libraries. They know nothing of Ray, HTTP or tenants' rows."""
