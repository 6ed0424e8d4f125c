"""Settings of the servers under test; whoever has a token or a session may see runs."""

from __future__ import annotations

import os

from tests.settings import *  # noqa: F403

ALLOWED_HOSTS = ["127.0.0.1", "testserver"]
WORKFLOWS = {"PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"]}
if "LAYER" in os.environ:
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            "CONFIG": {"hosts": [os.environ["LAYER"]]},
        }
    }
