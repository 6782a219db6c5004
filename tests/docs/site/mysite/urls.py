from django.contrib import admin
from django.contrib.staticfiles.urls import staticfiles_urlpatterns
from django.shortcuts import render
from django.urls import include, path
from shop.views import ship


def page(request, name):
    """Show one of the documentation's pages."""
    return render(request, f"{name}.html")


urlpatterns = [
    path("admin/", admin.site.urls),
    path("realtime/", include("realtime.urls")),
    path("orders/<int:pk>/ship/", ship),
    path("pages/<slug:name>/", page),
    *staticfiles_urlpatterns(),
]
