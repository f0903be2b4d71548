"""Every address of the console."""

from django.contrib.auth.decorators import login_not_required
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView

from accounts.api.step_up import urlpatterns as step_up_routes
from accounts.api.urls import urlpatterns as account_routes
from accounts.permissions import PUBLIC
from alerts.api.urls import urlpatterns as alert_routes
from audit.api.urls import urlpatterns as audit_routes
from deployments.api.urls import urlpatterns as deployment_routes
from environments.api.urls import urlpatterns as environment_routes
from opsconsole import api_docs, errors_views, health
from opsconsole.changelog.urls import api_routes as changelog_routes
from runbooks.api.urls import urlpatterns as runbook_routes
from trading.api.stops import AdminPressView
from trading.api.urls import urlpatterns as trading_routes


class SchemaView(SpectacularAPIView):
    """The OpenAPI schema. It describes the interface and nothing that is operated, so it is open."""

    permission_map = {"get": PUBLIC}
    authentication_classes = ()


api_routes = [
    *account_routes,
    *step_up_routes,
    *environment_routes,
    *deployment_routes,
    *audit_routes,
    *alert_routes,
    *trading_routes,
    *runbook_routes,
    *changelog_routes,
]

urlpatterns = [
    path("livez", health.livez, name="livez"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics, name="metrics"),
    path("api/v1/", include((api_routes, "api"))),
    path("api/schema/", SchemaView.as_view(), name="schema"),
    path("api/docs/", login_not_required(api_docs.page), name="api_docs"),
    path("admin/emergency-stop", AdminPressView.as_view(), name="admin-emergency-stop"),
    path("", include("accounts.urls")),
    path("", include("accounts.people_urls")),
    path("", include("environments.urls")),
    path("", include("audit.urls")),
    path("", include("alerts.urls")),
    path("", include("trading.urls")),
    path("", include("runbooks.urls")),
    path("", include("deployments.urls")),
    path("", include("opsconsole.changelog.urls")),
    path("", include("opsconsole.docs.urls")),
    path("", include("opsconsole.styleguide_urls")),
]

handler403 = errors_views.forbidden
handler404 = errors_views.not_found
handler500 = errors_views.server_error
