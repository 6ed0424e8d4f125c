"""What happens in runs, pushed to browsers."""
