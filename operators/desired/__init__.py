"""Documents -> the manifests that should be there, and what is wrong with the documents. Pure: no cluster, no clock."""

from operators.desired.checks import problems
from operators.desired.objects import OPTIONAL_KINDS, active_cluster, desired_objects, served_models
from operators.desired.strategy import Strategy

__all__ = [
    "OPTIONAL_KINDS",
    "Strategy",
    "active_cluster",
    "desired_objects",
    "problems",
    "served_models",
]
