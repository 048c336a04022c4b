"""From a compute profile to a pod, and from a pod back to what became of it. Pure, but for reading the cluster file.

`cluster_file` is the installation's file of profiles; `providers` knows the labels and taints of GKE, EKS and AKS;
`pod` builds the manifest; `schema` checks it against Kubernetes' own OpenAPI; `state` reads a pod's state. `operators`
and `triggers` call them. Not here: anything that talks to a cluster.
"""
