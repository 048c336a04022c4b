"""Airflow's login, and who may read a DAG, for a plugin's own routes in the web server.

Airflow leaves a plugin's routes open to all, and leaves their protection to the plugin; its public interface has no
name for what its own routes use (https://github.com/apache/airflow/pull/72655 documents the lack). These are they.
"""

from airflow.api_fastapi.app import get_auth_manager as get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser as BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails as DagDetails
from airflow.api_fastapi.core_api.security import get_user as get_user
from airflow.models import DagModel as DagModel
