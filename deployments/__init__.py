"""Slipway on Ray: the composition roots and the model families. Ray lives here and nowhere else.

gateway, runner, ledger     the three applications that every platform has
llm, text_to_image,         a family each: which engine its replicas have
image_to_image
replica                     what the families share; beside it what stands around an engine's calls:
                            call_metering, call_adapters (adapter_cache, host_adapters, adapter_warming), call_assets
engines                     model libraries, behind one Protocol; they know neither Ray nor the gateway
handles                     ports.Models over Ray's handles; witness writes down what is sent and seen
metering, books             a process's journals, and their way to the ledger
routing, preload_orders     which replica gets a call, and which adapter a replica is told to load
autoscaling                 how many replicas, decided in Serve's controller
entry                       what stands in front of a model's application, and never runs
proxy                       what is added to Ray's HTTP proxies
metric_export,              series through Ray's own exporter
replica_metrics
reference_models            how the small models that ship were made
"""
