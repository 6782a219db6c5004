"""How the projects are made, as their own documentation says, and where their pages are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.packaging.guides import run

# Added to each site: who comes in hears of it, and so does whoever else is there.
CONSUMERS = """
import realtime
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in
from django.db.models.signals import post_save
from django.dispatch import receiver
from realtime import NamespaceConsumer, event


class MainConsumer(NamespaceConsumer):
    @event
    async def whoami(self) -> str:
        return self.user.get_username()

    @event("count users")
    def count_users(self) -> int:
        return get_user_model().objects.count()


@receiver(post_save, sender=settings.AUTH_USER_MODEL)
def tell(instance, **kwargs):
    realtime.of().on_commit().emit("saved", instance.get_username())


@receiver(user_logged_in)
def greet(user, **kwargs):
    realtime.of().on_commit().emit("came", user.get_username())
"""

ROUTING = """
from django.urls import path

from .consumers import MainConsumer

namespaces = [path("", MainConsumer.as_asgi())]
"""

SETTINGS = """
INSTALLED_APPS = ["daphne", "realtime", *INSTALLED_APPS]
ASGI_APPLICATION = "mysite.asgi.application"
REALTIME = {"NAMESPACES": "mysite.routing.namespaces"}
"""

ASGI = """
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "%s")

from realtime.asgi import get_application

application = get_application()
"""


class Recipe(NamedTuple):
    """
    A project: what pip installs, how its site is made, and where its pages are.

    `make` takes the interpreter and the folder. `settings` is the module of the site's settings,
    `page` a page for everybody; `login` is the page with the form, whose fields are `user_field`
    and `password_field`, and `admin` where Django's admin is.
    """

    name: str
    packages: tuple[str, ...]
    make: Callable[[Path, Path], None]
    settings: str
    page: str
    login: str
    user_field: str
    password_field: str
    extra_fields: dict[str, str]
    admin: str


def add_realtime(site: Path, settings: str) -> None:
    """Change a site as the guide for existing ones says."""
    folder = site / "mysite"
    (folder / "consumers.py").write_text(CONSUMERS)
    (folder / "routing.py").write_text(ROUTING)
    (folder / "asgi.py").write_text(ASGI % settings)
    module = site / Path(*settings.split(".")).with_suffix(".py")
    module.write_text(module.read_text() + SETTINGS)


def make_wagtail(python: Path, site: Path) -> None:
    run(python.parent / "wagtail", "start", "mysite", ".", cwd=site)


OSCAR_SETTINGS = """
from oscar.defaults import *

SITE_ID = 1
INSTALLED_APPS += [
    "django.contrib.sites",
    "django.contrib.flatpages",
    "oscar.config.Shop",
    "oscar.apps.analytics.apps.AnalyticsConfig",
    "oscar.apps.checkout.apps.CheckoutConfig",
    "oscar.apps.address.apps.AddressConfig",
    "oscar.apps.shipping.apps.ShippingConfig",
    "oscar.apps.catalogue.apps.CatalogueConfig",
    "oscar.apps.catalogue.reviews.apps.CatalogueReviewsConfig",
    "oscar.apps.communication.apps.CommunicationConfig",
    "oscar.apps.partner.apps.PartnerConfig",
    "oscar.apps.basket.apps.BasketConfig",
    "oscar.apps.payment.apps.PaymentConfig",
    "oscar.apps.offer.apps.OfferConfig",
    "oscar.apps.order.apps.OrderConfig",
    "oscar.apps.customer.apps.CustomerConfig",
    "oscar.apps.search.apps.SearchConfig",
    "oscar.apps.voucher.apps.VoucherConfig",
    "oscar.apps.wishlists.apps.WishlistsConfig",
    "oscar.apps.dashboard.apps.DashboardConfig",
    "oscar.apps.dashboard.reports.apps.ReportsDashboardConfig",
    "oscar.apps.dashboard.users.apps.UsersDashboardConfig",
    "oscar.apps.dashboard.orders.apps.OrdersDashboardConfig",
    "oscar.apps.dashboard.catalogue.apps.CatalogueDashboardConfig",
    "oscar.apps.dashboard.offers.apps.OffersDashboardConfig",
    "oscar.apps.dashboard.partners.apps.PartnersDashboardConfig",
    "oscar.apps.dashboard.pages.apps.PagesDashboardConfig",
    "oscar.apps.dashboard.ranges.apps.RangesDashboardConfig",
    "oscar.apps.dashboard.reviews.apps.ReviewsDashboardConfig",
    "oscar.apps.dashboard.vouchers.apps.VouchersDashboardConfig",
    "oscar.apps.dashboard.communications.apps.CommunicationsDashboardConfig",
    "oscar.apps.dashboard.shipping.apps.ShippingDashboardConfig",
    "widget_tweaks",
    "haystack",
    "treebeard",
    "django_tables2",
]
MIDDLEWARE += [
    "oscar.apps.basket.middleware.BasketMiddleware",
    "django.contrib.flatpages.middleware.FlatpageFallbackMiddleware",
]
TEMPLATES[0]["OPTIONS"]["context_processors"] += [
    "oscar.apps.search.context_processors.search_form",
    "oscar.apps.checkout.context_processors.checkout",
    "oscar.apps.communication.notifications.context_processors.notifications",
    "oscar.core.context_processors.metadata",
]
AUTHENTICATION_BACKENDS = [
    "oscar.apps.customer.auth_backends.EmailBackend",
    "django.contrib.auth.backends.ModelBackend",
]
HAYSTACK_CONNECTIONS = {"default": {"ENGINE": "haystack.backends.simple_backend.SimpleEngine"}}
"""

OSCAR_URLS = """
from django.apps import apps
from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/", admin.site.urls),
    path("", include(apps.get_app_config("oscar").urls[0])),
]
"""


def make_oscar(python: Path, site: Path) -> None:
    run(python, "-m", "django", "startproject", "mysite", ".", cwd=site)
    settings = site / "mysite" / "settings.py"
    settings.write_text(settings.read_text() + OSCAR_SETTINGS)
    (site / "mysite" / "urls.py").write_text(OSCAR_URLS)


LARGE_SETTINGS = """
AUTH_USER_MODEL = "people.User"
SITE_ID = 1
INSTALLED_APPS += [
    "people",
    "django.contrib.sites",
    "allauth",
    "allauth.account",
    "guardian",
    "axes",
    "rest_framework",
]
MIDDLEWARE.insert(1, "whitenoise.middleware.WhiteNoiseMiddleware")
MIDDLEWARE.insert(3, "django.middleware.locale.LocaleMiddleware")
MIDDLEWARE += [
    "allauth.account.middleware.AccountMiddleware",
    "axes.middleware.AxesMiddleware",
]
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
    "guardian.backends.ObjectPermissionBackend",
]
LANGUAGES = [("en", "English"), ("ru", "Russian")]
STATIC_ROOT = BASE_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
ACCOUNT_EMAIL_VERIFICATION = "none"
"""

LARGE_USER = """
import uuid

from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
"""

LARGE_URLS = """
from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.http import HttpResponse
from django.urls import include, path

urlpatterns = [path("", lambda request: HttpResponse("hello"))]
urlpatterns += i18n_patterns(
    path("admin/", admin.site.urls),
    path("accounts/", include("allauth.urls")),
)
"""


def make_large(python: Path, site: Path) -> None:
    """Make a site of many well-known apps, whose users have UUIDs."""
    run(python, "-m", "django", "startproject", "mysite", ".", cwd=site)
    run(python, "manage.py", "startapp", "people", cwd=site)
    (site / "people" / "models.py").write_text(LARGE_USER)
    (site / "mysite" / "urls.py").write_text(LARGE_URLS)
    settings = site / "mysite" / "settings.py"
    settings.write_text(settings.read_text() + LARGE_SETTINGS)
    run(python, "manage.py", "makemigrations", "people", cwd=site)
    run(python, "manage.py", "collectstatic", "--noinput", cwd=site)


WAGTAIL = Recipe(
    name="wagtail",
    packages=("wagtail",),
    make=make_wagtail,
    settings="mysite.settings.dev",
    page="/",
    login="/admin/login/",
    user_field="username",
    password_field="password",
    extra_fields={},
    admin="/django-admin/",
)

OSCAR = Recipe(
    name="oscar",
    packages=("django-oscar", "setuptools<81"),  # it still asks for pkg_resources
    make=make_oscar,
    settings="mysite.settings",
    page="/catalogue/",
    login="/accounts/login/",
    user_field="login-username",
    password_field="login-password",
    extra_fields={"login_submit": "Log In"},
    admin="/admin/",
)

LARGE = Recipe(
    name="large",
    packages=(
        *("Django~=5.2.0", "django-allauth", "django-guardian", "django-axes"),
        *("djangorestframework", "whitenoise"),
    ),
    make=make_large,
    settings="mysite.settings",
    page="/",
    login="/en/accounts/login/",
    user_field="login",
    password_field="password",
    extra_fields={},
    admin="/en/admin/",
)

RECIPES = (WAGTAIL, OSCAR, LARGE)
