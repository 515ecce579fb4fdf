"""Documents -> the manifests that should be there, and what is wrong with the documents. Pure: no cluster, no clock."""
