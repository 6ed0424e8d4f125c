"""The deterministic loop that runs a workflow function against its log.

Pure: no I/O, no clock, no Django models. Everything here can be driven with lists.
"""

from django_workflows.replay import logs

logs.install()
