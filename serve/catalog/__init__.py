"""The models: documents, the cards made from them, and the weights they name. Knows neither callers nor runs."""
