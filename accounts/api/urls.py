"""Addresses of keys and of signing in from a command line, below ``/api/v1/``."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from accounts.api import views

router = SimpleRouter()
router.register("keys", views.KeyViewSet, basename="key")

urlpatterns = [
    path("login/ssh/challenge/", views.SSHChallengeView.as_view(), name="ssh_challenge"),
    path("login/ssh/", views.SSHLoginView.as_view(), name="ssh_login"),
    path("login/browser/", views.BrowserLoginView.as_view(), name="browser_login"),
    path("logout/", views.LogoutView.as_view(), name="logout"),
    *router.urls,
]
