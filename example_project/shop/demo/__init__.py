"""What `manage.py demo` is made of: database, cluster, chaos, progress, report."""
