"""One module a stage; `python -m airloom.stages STAGE` is the only way that one starts, in a pod or in a process.

A stage module offers a `STAGE` and does its work through ports only. `runner` does what all stages share: the context,
the cache, lineage, redaction, the result. `wiring` is the one place that chooses adapters.
"""
