"""Documents -> the manifests that should be there. Pure: no cluster, no clock."""
