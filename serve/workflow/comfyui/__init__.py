"""Graphs of ComfyUI as workflows: what they say is read, and told in nodes of ours.

    file ──reading──> SourceGraph ──marks──> inputs that callers give ──translating──> nodes, folded or inert
        ──interface, layout──> WorkflowSpec

Only the published formats and the signatures of nodes are known here; none of ComfyUI's code is.
"""
