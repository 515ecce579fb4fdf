"""Nodes as their users see them: what goes into a model or an operation, what comes out, and how it is shown."""
