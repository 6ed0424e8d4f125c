"""Real clusters, in processes of their own, that are killed and stopped."""
