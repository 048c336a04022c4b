"""The inference gateway: champions of the registry, served by the Open Inference Protocol v2. Started by
`airloom serve`; `airloom.serving.gateway` puts it together."""
