"""Operators: a stage as a process (`stage_subprocess`) or a pod (`stage_pod`), what it is told (`stage_context`),
what it answers (`stage_result`), the links to its artifacts in the web UI (`artifact_link`), and what of it is masked
in its log (`stage_secrets` beside this package).

`dag_factory` builds them. Not here: what a stage does (`airloom.stages`, in another environment).
"""
