"""Addresses of releases and deployments below ``/api/v1/``."""

from rest_framework.routers import SimpleRouter

from deployments.api.approvals import ApprovalViewSet
from deployments.api.views import DeploymentViewSet, ReleaseViewSet

router = SimpleRouter()
router.register("releases", ReleaseViewSet, basename="release")
router.register("deployments", DeploymentViewSet, basename="deployment")
router.register("approvals", ApprovalViewSet, basename="approval")

urlpatterns = router.urls
