"""Addresses of signing in and out."""

from django.urls import path

from accounts import views

urlpatterns = [
    path("login/", views.sign_in, name="login"),
    path("login/link/<str:token>/", views.sign_in_link, name="sign_in_link"),
    path("logout/", views.sign_out, name="logout"),
]
