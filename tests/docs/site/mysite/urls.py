from django.contrib import admin
from django.urls import include, path
from django.views.generic import TemplateView

from shop.views import ship

urlpatterns = [
    path("admin/", admin.site.urls),
    path("realtime/", include("realtime.urls")),
    path("orders/<int:pk>/ship/", ship),
    path("", TemplateView.as_view(template_name="page.html")),
]
