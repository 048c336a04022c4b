"""Airflow's login, as a dependency of a plugin's own routes in the web server.

Airflow leaves a plugin's routes open to all, and leaves their protection to the plugin; its public interface has no
name for what its own routes use (https://github.com/apache/airflow/pull/72655 documents the lack). This is that.
"""

from airflow.api_fastapi.core_api.security import get_user as get_user
