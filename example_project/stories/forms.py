"""What one can ask for."""

from __future__ import annotations

from django import forms

from example_project.shop.models import Product


class StoryForm(forms.Form):
    """The product that the story is about."""

    product = forms.ModelChoiceField(
        Product.objects.select_related("category"), empty_label="Choose a product…"
    )
