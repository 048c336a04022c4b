"""Usage reporting of everything that Airloom starts, switched off. No data leaves the machine unasked."""

from __future__ import annotations

from collections.abc import MutableMapping

SWITCHES = {
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "FEAST_USAGE": "False",
    "GX_ANALYTICS_ENABLED": "false",
    "SCARF_ANALYTICS": "false",
    "SCARF_NO_ANALYTICS": "true",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    "WANDB_ERROR_REPORTING": "false",
}


def switch_off(environ: MutableMapping[str, str]) -> None:
    """Set every vendor's own opt-out; call it before the vendor is imported or started."""
    environ.update(SWITCHES)
