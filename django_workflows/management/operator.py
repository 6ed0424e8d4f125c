"""Who sits at the command line."""

from __future__ import annotations

import getpass
import os
import socket
from contextlib import AbstractContextManager

from django_workflows.core.authorship import COMMAND_LINE, done_by


def operating() -> AbstractContextManager[None]:
    """Let what is done to runs meanwhile be told under the user and the machine,
    `deploy@web-1`: as the system tells, and no proof."""
    return done_by(f"{_user()}@{socket.gethostname()}", COMMAND_LINE)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        # A container may run as a user whose number has no name.
        return str(os.getuid())
