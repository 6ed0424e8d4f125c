"""A deploy with open runs, rehearsed: one project in three states of its code."""
