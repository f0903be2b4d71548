"""Addresses of environments below ``/api/v1/``."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from environments.api.evidence import EvidenceNamesView, EvidenceView
from environments.api.me import MeView
from environments.api.views import EnvironmentViewSet

router = SimpleRouter()
router.register("environments", EnvironmentViewSet, basename="environment")

urlpatterns = [
    path("me/", MeView.as_view(), name="me"),
    path("evidence/", EvidenceNamesView.as_view(), name="evidence-names"),
    path("evidence/<str:name>/", EvidenceView.as_view(), name="evidence"),
    *router.urls,
]
