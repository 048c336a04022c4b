"""What a team's stages have of an installation, as the cluster file says it: secrets, quota, namespace, profiles.

`cluster` builds on it. Pure: a secret's value is Airflow's, and is read where a stage is started; a quota is kept by
Kubernetes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from airloom.secret_values import MASKED_VARIABLES
from airloom.spec.quantity import Quantity
from airloom.spec.section import MAX_INTEGER, Name, Section

NAMESPACE_LENGTH = 63
_OPEN_FIELDS = ("login", "host", "port", "schema")
"""Of a connection; what is masked in logs would blot out ordinary text."""


class AirflowSecret(Section):
    """A variable of stages whose value is one of Airflow's connections or variables, in whichever secrets backend.

    A pod gets it by a Kubernetes Secret of its own, which goes with the pod.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    """Of the environment variable, such as `PGPASSWORD`, or `AIRLOOM_SECRET_<NAME>` for what pipeline files name."""
    conn_id: str | None = Field(default=None, min_length=1)
    """An Airflow connection."""
    field: str = Field(default="password", pattern=r"^(uri|login|password|host|port|schema|extra(\.[\w-]+)?)$")
    """What of the connection: `password`, `login`, `host`, `port`, `schema`, `uri` (the whole, as Airflow writes it),
    `extra` (its JSON) or `extra.KEY`."""
    variable: str | None = Field(default=None, min_length=1)
    """An Airflow variable, in place of a connection."""

    @model_validator(mode="after")
    def _one_source(self) -> AirflowSecret:
        if (self.conn_id is None) == (self.variable is None):
            raise ValueError("give conn_id, an Airflow connection, or variable, an Airflow variable: one of the two")
        if self.variable is not None and "field" in self.model_fields_set:
            raise ValueError("field is of a connection, and a variable has none; leave it out, or give conn_id")
        return self

    @property
    def is_masked(self) -> bool:
        """Whether logs leave the value out: all but a connection's login, host, port and schema."""
        return self.variable is not None or self.field not in _OPEN_FIELDS

    @property
    def source(self) -> str:
        """Names it in messages."""
        if self.variable is not None:
            return f"Airflow variable {self.variable!r}"
        return f"{self.field} of Airflow connection {self.conn_id!r}"


Secret = str | AirflowSecret
"""A Kubernetes Secret by its name, or a variable whose value Airflow has."""


class Quota(Section):
    """How much one team's stages may have of each cluster at once; what is more waits. Kubernetes keeps it, by a
    ResourceQuota in the team's namespace, and `airloom doctor` gives the command that makes it."""

    pods: int | None = Field(default=None, ge=1, le=MAX_INTEGER)
    """Left out, as each of these: whatever the cluster has."""
    cpu: Quantity | None = None
    """Of all pods' requests."""
    memory: Quantity | None = None
    """Of all pods' requests."""
    gpu: int | None = Field(default=None, ge=0, le=MAX_INTEGER)
    """Whole ones, `nvidia.com/gpu`."""

    @model_validator(mode="after")
    def _some(self) -> Quota:
        if not self.hard:
            raise ValueError("a quota of nothing; give pods, cpu, memory or gpu, or leave quota out")
        return self

    @property
    def hard(self) -> dict[str, str]:
        """As `spec.hard` of a ResourceQuota."""
        given = {
            "pods": self.pods,
            "requests.cpu": self.cpu,
            "requests.memory": self.memory,
            "requests.nvidia.com/gpu": self.gpu,
        }
        return {resource: str(amount) for resource, amount in given.items() if amount is not None}


class Team(Section):
    """What holds for one team's stages."""

    namespace: str | None = Field(default=None, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=NAMESPACE_LENGTH)
    """Where its pods run. Left out: the installation's `namespace`. Two teams that share one can read each other's
    Secrets."""
    serviceAccountName: str | None = None
    """Of its stages whose profile names none. Left out: the installation's."""
    secrets: tuple[Secret, ...] = ()
    """Beside the installation's `secrets`. Where two Kubernetes Secrets hold a key, or two mappings a name, the team's
    is taken; where one is a Secret and the other a mapping, the mapping."""
    env: dict[str, str] = Field(default_factory=dict)
    """Over the installation's `env`."""
    profiles: tuple[Name, ...] | None = None
    """The profiles that its pipelines may name by `compute`. Left out: all."""
    quota: Quota | None = None
    """How much it may have at once. Its namespace must be its own. Left out: what the cluster has."""


def list_airflow_secrets(secrets: Iterable[Secret]) -> tuple[AirflowSecret, ...]:
    """Those whose values Airflow has, each variable once: the last of a name counts."""
    return tuple({each.name: each for each in secrets if isinstance(each, AirflowSecret)}.values())


def build_masked_variables(secrets: Iterable[AirflowSecret]) -> dict[str, str]:
    """The variable by which a stage knows which of its others it must mask; none, where none is."""
    names = [secret.name for secret in secrets if secret.is_masked]
    return {MASKED_VARIABLES: " ".join(names)} if names else {}
