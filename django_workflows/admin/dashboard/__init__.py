"""The dashboard on the app's index page, panel by panel."""
