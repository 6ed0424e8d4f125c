"""The name for ``Q_CLUSTER["broker_class"]``."""

from __future__ import annotations

from django_workflows.worker.q2.broker import WorkflowBroker

__all__ = ["WorkflowBroker"]
