"""What the platform itself keeps (models, adapters, workflows) against the resources of the cluster."""
