"""From a document to a graph, or to every problem at once. It runs nothing, and asks nobody."""
