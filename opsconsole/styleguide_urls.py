"""Address of the style guide."""

from django.urls import path

from opsconsole.views import styleguide

urlpatterns = [path("styleguide/", styleguide, name="styleguide")]
