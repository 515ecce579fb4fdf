"""How much a key, a project, a tenant or a client may ask for in a minute, over any number of gateways."""
