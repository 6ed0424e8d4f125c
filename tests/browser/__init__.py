"""What pages do in a real Chromium."""
