"""Addresses of the demo: the ordinary ones, and the page that signs in with one click."""

from django.urls import path

from accounts.demo_views import demo
from opsconsole.urls import handler403, handler404, handler500
from opsconsole.urls import urlpatterns as ordinary

urlpatterns = [path("demo/", demo, name="demo"), *ordinary]

__all__ = ["handler403", "handler404", "handler500", "urlpatterns"]
