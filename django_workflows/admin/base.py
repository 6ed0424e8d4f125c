"""What the admin's pages have in common."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib.admin import ModelAdmin, display
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import quote
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.timezone import localtime

from django_workflows.admin.durations import time_apart
from django_workflows.store.database import alias

Row = TypeVar("Row", bound=Model)

if TYPE_CHECKING:
    _ModelAdmin = ModelAdmin[Row]
else:

    class _ModelAdmin(ModelAdmin):
        """Django's, which knows its type parameter when types are checked only."""

        def __class_getitem__(cls, _row: Any) -> type:
            return cls


class FilteredChangeList(ChangeList):
    """A list that is narrowed by its filters only. Django takes any field of the row in
    an address; with `?token__startswith=` a secret is found letter by letter.

    What Django calls `status__exact` in its own filters is a filter's `status`.
    """

    def __init__(self, request: HttpRequest, *args: Any, **options: Any) -> None:
        address = QueryDict(mutable=True)
        for name, values in request.GET.lists():
            address.setlist(name.removesuffix("__exact"), values)
        request.GET = QueryDict(address.urlencode())
        super().__init__(request, *args, **options)

    def get_filters(self, request: HttpRequest) -> Any:
        found: Any = super().get_filters(request)
        _filters, _has_filters, others, *_rest = found
        if others:
            raise IncorrectLookupParameters
        return found


class WorkflowsAdmin(_ModelAdmin[Row]):
    """Pages of one model, whose table may lie in another database than the users'."""

    change_list_template = "admin/django_workflows/list.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Row]:
        """All rows there are, in the database that keeps workflows."""
        return super().get_queryset(request).using(alias())

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Row | None:
        """The row with this key; none has one that PostgreSQL would refuse.

        An address may have it as it is: Django takes `_3E` for a quoted `>` there.
        """
        if "\0" in object_id:
            return None
        found = super().get_object(request, object_id, from_field)
        if found is None and quote(object_id) != object_id:
            found = super().get_object(request, quote(object_id), from_field)
        return found

    def not_found(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Django's answer where there is no row of this key: a message, elsewhere."""
        answer: HttpResponse = self._get_obj_does_not_exist_redirect(  # type: ignore[attr-defined]
            request, self.opts, object_id
        )
        return answer

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return FilteredChangeList

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list, named by what it lists."""
        context = {"title": capfirst(self.opts.verbose_name_plural)}
        return super().changelist_view(request, context | (extra_context or {}))

    def own_url(
        self, name: str, view: Callable[..., HttpResponse], *, is_of_row: bool = True
    ) -> URLPattern:
        """Where a page is besides those that Django has, and named as these are: below
        the page of a row, or of the list."""
        route = f"<path:object_id>/{name}/" if is_of_row else f"{name}/"
        full_name = f"{self.opts.app_label}_{self.opts.model_name}_{name}"
        return path(route, self.admin_site.admin_view(view), name=full_name)

    def page(
        self, request: HttpRequest, template: str, context: dict[str, Any]
    ) -> TemplateResponse:
        """A page besides those that Django has, from a template of
        `admin/django_workflows/` that extends its `page.html`. The context needs to
        have a title."""
        common = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media,
            "has_view_permission": self.has_view_permission(request),
        }
        name = f"admin/django_workflows/{template}"
        return TemplateResponse(request, name, common | context)


class RecordAdmin(WorkflowsAdmin[Row]):
    """Pages of what only the engine writes: to be looked at, and never edited.

    Adding, changing and deleting is forbidden for everybody.
    """

    def page_of(self, request: HttpRequest, row: Row) -> dict[str, Any]:
        """What the page of a row shows, which is no form to edit it."""
        return {}

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any
    ) -> HttpResponse:
        if (row := context["original"]) is not None:
            context |= self.page_of(request, row)
        return super().render_change_form(request, context, *args, **options)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def time_html(moment: datetime, now: datetime | None = None) -> SafeString:
    """A time for lists, in the current time zone; with how far it lies from now."""
    local = localtime(moment)
    apart = "" if now is None else time_apart(moment, now)
    return format_html(
        '<time datetime="{0}" title="{0}">{1}</time>{2}',
        local.isoformat(),
        f"{local:%Y-%m-%d %H:%M:%S}",
        format_html('<div class="dw-quiet">{}</div>', apart) if apart else "",
    )


def column(name: str, label: Any) -> Callable[[Any], Any]:
    """A column of a list that shows a field, with a heading that can be translated:
    the names of the models' fields are not."""

    @display(description=label, ordering=name)
    def value(row: Any) -> Any:
        return getattr(row, name)

    # It is in the classes of the cells.
    value.__name__ = name
    return value
