from django.conf import settings
from django.db import models
from django.utils import timezone


class Order(models.Model):
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True)
    status = models.CharField(max_length=20, default="new")
    shipped_at = models.DateTimeField(null=True)

    def get_absolute_url(self):
        return f"/orders/{self.pk}/"

    def ship(self):
        self.status, self.shipped_at = "shipped", timezone.now()
        self.save()


class Message(models.Model):
    order = models.ForeignKey(Order, models.CASCADE)
    text = models.TextField()


class Visit(models.Model):
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)
    namespace = models.CharField(max_length=255)


class Device(models.Model):
    token = models.CharField(max_length=64, unique=True)
