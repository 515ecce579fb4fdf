"""Workflows over HTTP: what they name is looked up here, where the catalogue, the library and the money meet."""
