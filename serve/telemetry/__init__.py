"""Metric series and log lines: every name in one place."""
