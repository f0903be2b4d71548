"""Addresses of the audit trail."""

from django.urls import path

from audit import views

urlpatterns = [
    path("audit/", views.record_list, name="audit"),
    path("audit/export/", views.record_export, name="audit-export"),
    path("audit/<int:pk>/", views.record_detail, name="audit-record"),
]
