"""A small shop on Django: the Northwind catalogue, its orders and their workflows."""
