"""The page of one run, panel by panel."""
