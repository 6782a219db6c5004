"""The demo's pages."""

from django.contrib import admin
from django.contrib.staticfiles.urls import staticfiles_urlpatterns
from django.urls import include, path
from django.views.generic import TemplateView

urlpatterns = [
    path("", TemplateView.as_view(template_name="index.html"), name="index"),
    path("", include("realtime.urls")),
    path("admin/", admin.site.urls),
    *staticfiles_urlpatterns(),
]
