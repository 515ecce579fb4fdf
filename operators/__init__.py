"""The operator: documents in a cluster become a Ray cluster, what surrounds it, and what the platform's catalogue says.

It decides first and acts then. `state` is what one pass sees; `desired` is a pure function from documents to
manifests; `planning` compares them with what is there, and says why each action is taken; `syncing` does the same for
what the platform keeps itself; `conditions` tells people how things are. `cluster` and `platform_api` act,
`reconciling` puts a pass together, `handlers` wakes it.

It knows nothing of Ray's or any model's library: deployments are named by strings.
"""
