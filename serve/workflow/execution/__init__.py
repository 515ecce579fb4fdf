"""From a graph to steps: the plan, the order in which work becomes ready, and what comes of it."""
