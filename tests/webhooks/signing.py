"""Signs requests as senders do."""

from __future__ import annotations

import hmac
from base64 import b64encode
from datetime import datetime


def signed(
    scheme: str, secret: str, body: bytes, now: datetime, delivery_id: str = "d1"
) -> dict[str, str]:
    """The headers that a sender of this scheme adds."""
    key, time = secret.encode(), str(int(now.timestamp()))

    def digest(content: bytes) -> bytes:
        return hmac.digest(key, content, "sha256")

    if scheme == "github":
        return {
            "X-Hub-Signature-256": f"sha256={digest(body).hex()}",
            "X-GitHub-Delivery": delivery_id,
        }
    if scheme == "stripe":
        proof = digest(f"{time}.".encode() + body).hex()
        return {"Stripe-Signature": f"t={time},v1={proof}"}
    if scheme == "slack":
        proof = digest(f"v0:{time}:".encode() + body).hex()
        return {"X-Slack-Signature": f"v0={proof}", "X-Slack-Request-Timestamp": time}
    proof = b64encode(digest(f"{delivery_id}.{time}.".encode() + body)).decode()
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": time,
        "webhook-signature": f"v1,{proof}",
    }
