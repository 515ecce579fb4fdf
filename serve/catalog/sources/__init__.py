"""Where weights come from: one module per scheme. A source lists its files and opens them; it decides nothing."""
