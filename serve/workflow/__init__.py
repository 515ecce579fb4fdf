"""Workflows: documents become graphs, graphs become plans, plans are executed; and what is kept of all that.

    document ──compiling──> Graph, or every problem at once ──execution──> what is cached, what will run; steps, in the
        order that their inputs come to be; results, which later runs find

    ports, nodes       what models and operations take and give; the operations themselves
    library            drafts, versions, aliases, documents
    comfyui            graphs from elsewhere

It knows neither HTTP nor Ray nor money, and of the rows of runs only whether they are there still: models, operations,
runs and blobs are reached through the Protocols of `serve.domain.steps` and of the modules here that use them.
"""
