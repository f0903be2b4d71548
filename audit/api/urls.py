"""Addresses of the audit trail below ``/api/v1/``."""

from rest_framework.routers import SimpleRouter

from audit.api.views import RecordViewSet

router = SimpleRouter()
router.register("audit", RecordViewSet, basename="record")

urlpatterns = router.urls
