"""The models: documents, the cards made from them, and the weights they name. Knows no runs and no HTTP."""
