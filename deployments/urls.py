"""Addresses of the deployment and release pages."""

from django.urls import path

from deployments import act_views, approval_views, freeze_views, rollback_report_views, views

urlpatterns = [
    path("", views.overview, name="overview"),
    path("deployments/", views.deployment_list, name="deployments"),
    path("deployments/new/", act_views.start, name="deployment-start"),
    path("deployments/<int:pk>/", views.deployment_detail, name="deployment"),
    path("deployments/<int:pk>/actions/", views.action_panel, name="deployment-actions"),
    path("deployments/<int:pk>/measurements.json", views.measurements, name="deployment-measurements"),
    path("deployments/<int:pk>/<slug:name>/", act_views.act, name="deployment-act"),
    path("environments/<slug:name>/freeze/", freeze_views.freeze, name="environment-freeze"),
    path("environments/<slug:name>/freeze/<int:pk>/lift/", freeze_views.lift, name="environment-freeze-lift"),
    path("approvals/", approval_views.approval_list, name="approvals"),
    path("approvals/parts/", approval_views.part, name="approval-parts"),
    path("approvals/<int:pk>/", approval_views.approval_detail, name="approval"),
    path("approvals/<int:pk>/decision/", approval_views.decision, name="approval-decision"),
    path("approvals/<int:pk>/<slug:name>/", approval_views.act, name="approval-act"),
    path("rollback-reports/", rollback_report_views.report_list, name="rollback-reports"),
    path("rollback-reports/<int:pk>/", rollback_report_views.report_detail, name="rollback-report"),
    path("rollback-reports/<int:pk>/reopen/", rollback_report_views.report_reopen, name="rollback-report-reopen"),
    path("releases/", views.release_list, name="releases"),
    path("releases/<str:version>/", views.release_detail, name="release"),
]
