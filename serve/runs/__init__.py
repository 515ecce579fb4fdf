"""Durable work: rows, claims, leases, events, webhooks, retention. Knows models only through `ports.Models`."""
