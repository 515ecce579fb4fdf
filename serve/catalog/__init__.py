"""The models: documents, the cards made from them, and the weights they name. Knows no callers, no calls and no runs."""
