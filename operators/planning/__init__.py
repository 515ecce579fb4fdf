"""Manifests that should be there and those that are -> actions, each with its reason. Pure."""
