"""Tests of django_workflows.worker."""
