"""Adapters' files: what they hold, whether they fit a base, and how an upload becomes a small canonical folder.

Everything is decided by headers and names, and nothing of a file is executed. This package knows neither tenants nor
requests, and no model library: engines read the tensors themselves, by the names that `reading` found.
"""
