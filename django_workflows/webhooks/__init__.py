"""The public route to webhooks."""
