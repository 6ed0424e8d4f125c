"""What a text model is asked, with all it has to know."""

from __future__ import annotations

from django.db.models import Sum

from example_project.shop.models import OrderLine, Product

INSTRUCTION = """\
Write three short paragraphs about this product for the customers of our shop. Be warm \
and exact, and use nothing but these facts."""


def prompt_for(product_id: int) -> str:
    """Return the prompt that asks for the story of a product.

    Raises `Product.DoesNotExist`.
    """
    product = Product.objects.select_related("category", "supplier").get(pk=product_id)
    lines = OrderLine.objects.filter(product=product)
    sold = lines.aggregate(units=Sum("quantity"))["units"] or 0
    facts = {
        "Product": product.name,
        "Category": product.category.name,
        "About": _inside_a_sentence(product.category.description),
        "Supplier": product.supplier.name,
        "Origin": f"{product.supplier.city} ({product.supplier.country})",
        "Unit": product.unit.rstrip("."),
        "Price": f"${product.unit_price:.2f}",
        "Stock": product.stock,
        "Sold": f"{sold:,}",
        "Orders": lines.values("order").distinct().count(),
        "Favourite country": _with_article(_most_of(product, "order__ship_country")),
        "Best customer": _most_of(product, "order__customer__name"),
    }
    return "\n".join([INSTRUCTION, ""] + [f"{k}: {v}" for k, v in facts.items()])


def _most_of(product: Product, field: str) -> str:
    """Return the value of `field` under which most of the product was ordered."""
    counted = (
        OrderLine.objects.filter(product=product)
        .values_list(field)
        .annotate(units=Sum("quantity"))
        .order_by("-units", field)
    )
    first = counted.first()
    return first[0] if first else "nobody yet"


def _with_article(country: str) -> str:
    return f"the {country}" if country in {"UK", "USA"} else country


def _inside_a_sentence(text: str) -> str:
    return text[:1].lower() + text[1:]
