"""Loading the Northwind data: the catalogue, the customers and their orders."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from django.core.management.color import no_style
from django.db import connection, transaction

from .models import (
    Category,
    Customer,
    Order,
    OrderLine,
    Product,
    Shipper,
    Supplier,
)
from .pricing import in_cents, line_total

FOLDER = Path(__file__).resolve().parent.parent / "data" / "northwind"


@transaction.atomic
def load(orders: int | None = None) -> int:
    """Fill the empty tables from the CSV files; return the number of orders.

    `orders` limits them to the first so many. Raises `IntegrityError` when the tables
    hold them already.
    """
    _load_catalogue()
    chosen = list(_rows("orders"))[:orders]
    Order.objects.bulk_create(
        Order(
            id=int(row["Id"]),
            customer_id=row["CustomerId"],
            shipper_id=int(row["ShipperId"]),
            ordered_on=row["OrderDate"],
            required_on=row["RequiredDate"],
            freight=Decimal(row["Freight"]),
            ship_name=row["ShipName"],
            ship_address=row["ShipAddress"],
            ship_city=row["ShipCity"],
            ship_country=row["ShipCountry"],
        )
        for row in chosen
    )
    OrderLine.objects.bulk_create(
        OrderLine(
            order_id=int(row["OrderId"]),
            product_id=int(row["ProductId"]),
            unit_price=Decimal(row["UnitPrice"]),
            quantity=int(row["Quantity"]),
            discount=Decimal(row["Discount"]),
        )
        for row in _lines_of(chosen)
    )
    _reset_sequences()
    return len(chosen)


def value_of_lines(orders: int | None = None) -> Decimal:
    """Return what all lines come to, in cents, straight from the CSV files.

    The sum is exact (four places) and rounded once at the end, half a cent upwards:
    1,265,793.04 for all 830 orders.
    """
    chosen = list(_rows("orders"))[:orders]
    exact = sum(
        (
            line_total(
                Decimal(row["UnitPrice"]),
                int(row["Quantity"]),
                Decimal(row["Discount"]),
            )
            for row in _lines_of(chosen)
        ),
        Decimal(0),
    )
    return in_cents(exact)


def _load_catalogue() -> None:
    Category.objects.bulk_create(
        Category(
            id=int(row["Id"]), name=row["CategoryName"], description=row["Description"]
        )
        for row in _rows("categories")
    )
    Supplier.objects.bulk_create(
        Supplier(
            id=int(row["Id"]),
            name=row["CompanyName"],
            contact=row["ContactName"],
            city=row["City"],
            country=row["Country"],
            phone=row["Phone"],
        )
        for row in _rows("suppliers")
    )
    Shipper.objects.bulk_create(
        Shipper(id=int(row["Id"]), name=row["CompanyName"], phone=row["Phone"])
        for row in _rows("shippers")
    )
    Customer.objects.bulk_create(
        Customer(
            id=row["Id"],
            name=row["CompanyName"],
            contact=row["ContactName"],
            city=row["City"],
            country=row["Country"],
            phone=row["Phone"],
        )
        for row in _rows("customers")
    )
    Product.objects.bulk_create(
        Product(
            id=int(row["Id"]),
            name=row["ProductName"],
            category_id=int(row["CategoryId"]),
            supplier_id=int(row["SupplierId"]),
            unit=row["QuantityPerUnit"],
            unit_price=Decimal(row["UnitPrice"]),
            opening_stock=int(row["UnitsInStock"]),
            stock=int(row["UnitsInStock"]),
            reorder_level=int(row["ReorderLevel"]),
            discontinued=row["Discontinued"] == "1",
        )
        for row in _rows("products")
    )


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _lines_of(orders: list[dict[str, str]]) -> list[dict[str, str]]:
    wanted = {row["Id"] for row in orders}
    return [row for row in _rows("order_details") if row["OrderId"] in wanted]


def _reset_sequences() -> None:
    # Rows that came with their ids leave PostgreSQL's sequences where they were, and
    # the next row added by hand would collide.
    models = [Category, Supplier, Shipper, Product, Order]
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), models):
            cursor.execute(statement)
