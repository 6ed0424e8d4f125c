"""The shop in Django's admin, to look around in after a demo."""

from __future__ import annotations

from django.contrib import admin

from .models import Customer, Order, OrderLine, Product, Purchase, Supplier


class OrderLineInline(admin.TabularInline):  # type: ignore[type-arg]
    model = OrderLine
    extra = 0
    raw_id_fields = ["product"]


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["id", "customer", "status", "total", "reason"]
    list_filter = ["status", "shipper"]
    list_select_related = ["customer"]
    inlines = [OrderLineInline]


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["name", "supplier", "stock", "unit_price", "discontinued"]
    list_filter = ["discontinued", "category"]
    list_select_related = ["supplier"]


@admin.register(Purchase)
class PurchaseAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ["id", "product", "status", "quantity", "created_at"]
    list_filter = ["status"]
    list_select_related = ["product"]


admin.site.register([Customer, Supplier])
