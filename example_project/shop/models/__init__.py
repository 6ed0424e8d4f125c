"""The shop's tables."""

from __future__ import annotations

from .catalogue import Category, Customer, Product, Shipper, Supplier
from .orders import Order, OrderLine
from .payments import Charge, PaymentRequest
from .shipping import Shipment
from .stock import Purchase, Reservation

__all__ = [
    "Category",
    "Charge",
    "Customer",
    "Order",
    "OrderLine",
    "PaymentRequest",
    "Product",
    "Purchase",
    "Reservation",
    "Shipment",
    "Shipper",
    "Supplier",
]
