"""Addresses of the people pages."""

from django.urls import path

from accounts import people_act_views as acts
from accounts import people_views as views
from accounts.people_acts import ACTS

urlpatterns = [
    path("people/", views.people_list, name="people"),
    path("people/invite/", acts.invite, name="people_invite"),
    path("people/roles/", views.roles, name="people_roles"),
    path("people/api-keys/", views.api_keys, name="people_keys"),
    path("people/api-keys/<str:prefix>/revoke/", acts.revoke_key, name="people_key_revoke"),
    path("people/<str:username>/", views.person_detail, name="person"),
    *(path(f"people/<str:username>/{name}/", acts.act, {"name": name}, name=f"person_{name}") for name in ACTS),
]
