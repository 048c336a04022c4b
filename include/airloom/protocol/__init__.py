"""What Airflow and a stage say to each other: documents, their version and their places. No ML, no Airflow, no vendor.

In goes a `StageContext`, out comes a `StageResult` in the object store, and only a `ResultPointer` travels back
through Airflow. Either side refuses a version that it does not know, by name. The JSON Schemas are published beside
this package's source, in `schemas/`.
"""

from airloom.protocol.context import LineageParent, StageContext, StageGroup, StageStep
from airloom.protocol.result import Artifact, Dataset, Failure, ResultPointer, StageResult, Verdict
from airloom.protocol.version import PROTOCOL_VERSION

__all__ = [
    "PROTOCOL_VERSION",
    "Artifact",
    "Dataset",
    "Failure",
    "LineageParent",
    "ResultPointer",
    "StageContext",
    "StageGroup",
    "StageResult",
    "StageStep",
    "Verdict",
]
