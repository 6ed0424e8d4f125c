"""The shop: catalogue, orders, stock, purchasing, payment and shipping."""
