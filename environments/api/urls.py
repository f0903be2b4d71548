"""Addresses of environments below ``/api/v1/``."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from environments.api.me import MeView
from environments.api.views import EnvironmentViewSet

router = SimpleRouter()
router.register("environments", EnvironmentViewSet, basename="environment")

urlpatterns = [path("me/", MeView.as_view(), name="me"), *router.urls]
