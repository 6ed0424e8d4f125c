"""What people do, by whatever way they come: done and noted under their names."""
