"""Sensors: `drift` decides whether a monitor's verdict asks for retraining. All deferrable; their waiting is in
`airloom_airflow.triggers`.
"""
