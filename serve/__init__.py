"""Slipway's core: everything that needs neither Ray, nor a model library, nor a cluster.

The map, from the bottom up; a package imports only what is above it in this list, and never a sibling:

    domain      the vocabulary: documents, calls and their events, runs, usage, errors, and the ports
    clock       the real clock and the real ids, passed in wherever time or identity is needed
    settings    one frozen object from SLIPWAY_*, read in composition roots
    storage     objects (filesystem, S3), records (SQLite, PostgreSQL), and assets, which are both
    telemetry   every metric series, rules and dashboards over them, the log format, traces
    media       what strangers' files really are: pictures, decoded and encoded within bounds
    catalog     model documents, the cards made from them, the weights they name; adapters: files, versions, sharing
    runs        durable work: rows, claims, leases, events, webhooks, retention
    workflow    documents of nodes: checked, planned, executed, published; kept results; ComfyUI's graphs
    auth        keys, people and their sessions, tenants, projects, roles, scopes
    metering    journals of what calls consume, the ledger that books it, prices, budgets, limits per minute
    serving     documents -> Ray Serve configuration, and Ray's REST API; the fair queue in front of an engine
    gateway     the HTTP surface: create_app(services)
    cli         the `slipway` command

Ray lives in `deployments`, beside this package.
"""
