"""Addresses of the trading pages."""

from django.urls import path

from trading import breaker_views, clearance_views, database_views, position_views, stop_views

urlpatterns = [
    path("kill-switch/", stop_views.kill_switch, name="kill-switch"),
    path("kill-switch/now.json", stop_views.now, name="kill-switch-now"),
    path("kill-switch/<slug:name>/", stop_views.press, name="kill-switch-press"),
    path("kill-switch/stops/<uuid:pk>/", stop_views.stop_detail, name="stop"),
    path("kill-switch/stops/<uuid:pk>/acts/", stop_views.stop_acts, name="stop-acts"),
    path("kill-switch/stops/<uuid:pk>/reason/", stop_views.reason, name="stop-reason"),
    path("kill-switch/stops/<uuid:pk>/release-drill/", stop_views.release_drill, name="stop-release-drill"),
    path("positions/", position_views.position_list, name="positions"),
    path("positions/reconciliation/", position_views.reconciliation_page, name="reconciliation"),
    path("positions/<slug:name>/compare/", position_views.compare, name="positions-compare"),
    path("positions/<slug:name>/adopt/", position_views.adopt, name="positions-adopt"),
    path("positions/<slug:name>/<str:symbol>/close/", position_views.close, name="position-close"),
    path("orders/", position_views.order_list, name="orders"),
    path("orders/<slug:name>/cancel/", position_views.cancel, name="orders-cancel"),
    path("breakers/", breaker_views.breaker_list, name="breakers"),
    path("breakers/<int:pk>/", breaker_views.breaker, name="breaker"),
    path("breakers/<int:pk>/validate/", breaker_views.validate, name="breaker-validate"),
    path("breakers/<int:pk>/reset/", breaker_views.reset, name="breaker-reset"),
    path("breakers/<slug:name>/trip/", breaker_views.trip, name="breaker-trip"),
    path("clearances/resume/<slug:name>/", clearance_views.resume, name="resume"),
    path("clearances/<int:pk>/", clearance_views.clearance, name="clearance"),
    path("clearances/<int:pk>/decision/", clearance_views.decision, name="clearance-decision"),
    path("clearances/<int:pk>/<slug:name>/", clearance_views.act, name="clearance-act"),
    path("kill-switch/stops/<uuid:pk>/release/", clearance_views.release, name="stop-release"),
    path("databases/", database_views.database_list, name="databases"),
    path("databases/runs/<uuid:pk>/", database_views.run_detail, name="database-run"),
    path("databases/<slug:name>/", database_views.database_detail, name="database"),
    path("databases/<slug:name>/acts/", database_views.acts, name="database-acts"),
    path("databases/<slug:name>/backups/", database_views.backups, name="database-backups"),
    path("databases/<slug:name>/backup/", database_views.back_up, name="database-backup"),
    path("databases/<slug:name>/halt/", database_views.halt, name="database-halt"),
    path("databases/<slug:name>/verify/", database_views.verify, name="database-verify"),
    path("databases/<slug:name>/restore/<uuid:pk>/", database_views.restore, name="database-restore"),
]
