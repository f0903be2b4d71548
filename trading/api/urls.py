"""Addresses of trading below ``/api/v1/``."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from trading.api.breakers import BreakerView, TripView, TripViewSet
from trading.api.clearances import ClearanceViewSet
from trading.api.databases import DatabaseRunView, EnvironmentRunsView
from trading.api.positions import (
    CancelView,
    CloseView,
    ComparisonsView,
    OrdersView,
    PositionsView,
    ReconciliationView,
)
from trading.api.stops import PressView, StopListView, StopReasonView, StopView

router = SimpleRouter()
router.register("breakers", TripViewSet, basename="breaker")
router.register("clearances", ClearanceViewSet, basename="clearance")

urlpatterns = [
    path("environments/<slug:name>/emergency-stop/", PressView.as_view(), name="emergency-stop"),
    path("emergency-stops/", StopListView.as_view(), name="stops"),
    path("emergency-stops/<uuid:pk>/", StopView.as_view(), name="stop"),
    path("emergency-stops/<uuid:pk>/reason/", StopReasonView.as_view(), name="stop-reason"),
    path("environments/<slug:name>/positions/", PositionsView.as_view(), name="positions"),
    path("environments/<slug:name>/positions/<str:symbol>/close/", CloseView.as_view(), name="position-close"),
    path("environments/<slug:name>/orders/", OrdersView.as_view(), name="orders"),
    path("environments/<slug:name>/orders/cancel/", CancelView.as_view(), name="orders-cancel"),
    path("environments/<slug:name>/reconciliation/", ReconciliationView.as_view(), name="reconciliation"),
    path("comparisons/", ComparisonsView.as_view(), name="comparisons"),
    path("environments/<slug:name>/circuit-breaker/", BreakerView.as_view(), name="circuit-breaker"),
    path("environments/<slug:name>/circuit-breaker/trip/", TripView.as_view(), name="circuit-breaker-trip"),
    path("environments/<slug:name>/database-runs/", EnvironmentRunsView.as_view(), name="database-runs"),
    path("database-runs/<uuid:pk>/", DatabaseRunView.as_view(), name="database-run"),
    *router.urls,
]
