"""Bringing the platform's documents and the cluster's resources together. Pure: it knows what to write, and does not
write. Resources are the authors of what the platform says `kubernetes` manages; the platform is the author of models
that were applied over HTTP, which resources stand for, so that `kubectl get models` shows every model there is."""
