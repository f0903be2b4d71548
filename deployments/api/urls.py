"""Addresses of releases and deployments below ``/api/v1/``."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from deployments.api.approvals import ApprovalViewSet
from deployments.api.gate import FreezeLiftView, FreezesView, TestReportViewSet
from deployments.api.rollback_reports import RollbackReportViewSet
from deployments.api.views import DeploymentViewSet, ReleaseViewSet

router = SimpleRouter()
router.register("releases", ReleaseViewSet, basename="release")
router.register("deployments", DeploymentViewSet, basename="deployment")
router.register("approvals", ApprovalViewSet, basename="approval")

router.register("test-reports", TestReportViewSet, basename="test-report")
router.register("rollback-reports", RollbackReportViewSet, basename="rollback-report")

urlpatterns = [
    *router.urls,
    path("environments/<slug:name>/freezes/", FreezesView.as_view(), name="freezes"),
    path("environments/<slug:name>/freezes/<int:pk>/lift/", FreezeLiftView.as_view(), name="freeze-lift"),
]
