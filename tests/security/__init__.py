"""What has to stay secret stays secret, wherever it passes."""
