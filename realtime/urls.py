"""The routes of the HTTP views. Include them where you like."""

from django.urls import path

from . import views

app_name = "realtime"

urlpatterns = [
    path("clients-count", views.clients_count, name="clients-count"),
    path("health/ready", views.ready, name="ready"),
    path("health/live", views.live, name="live"),
    path("client/<str:sid>", views.send_to_client, name="client"),
]
