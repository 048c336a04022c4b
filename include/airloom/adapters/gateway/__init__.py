"""Airloom's own inference gateway as the place where champions are deployed."""

from airloom.adapters.gateway.deployment import GatewayDeployment

__all__ = ["GatewayDeployment"]
