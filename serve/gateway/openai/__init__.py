"""OpenAI's wire shapes: its requests as model calls, and events as its answers and chunks. Knows no HTTP."""
