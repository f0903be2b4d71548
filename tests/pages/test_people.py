"""The people pages, as a browser without a script uses them."""

from __future__ import annotations

import html
import re
from datetime import timedelta

import pyotp
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import APIKey, User
from accounts.roles import PERMISSION_WORDS, Role
from audit.models import Record
from tests.accounts.factors import SEED, enter, give_second_factor, make_key, send_with_proof
from tests.cast import make_person
from tests.pages.test_live_page import words

PAGES = ("/people/", "/people/invite/", "/people/roles/", "/people/api-keys/", "/people/otto/", "/people/otto/role/")
SAFE_ACTS = ("deactivate", "sessions", "link")
CONFIRMED_ACTS = ("role", "second-factor", "reactivate")


@pytest.fixture
def ada(admin):
    give_second_factor(admin)
    return enter(admin)


def confirmed() -> list[tuple[str, str]]:
    """Acts for which a fresh proof was accepted, each with the object's name."""
    records = Record.objects.filter(action="account.confirmed").order_by("id")
    return [(kept.after["action"], kept.object_name) for kept in records]


def test_the_pages_are_for_admins_and_say_who_helps(admin, operator, developer, person):
    person("alan", "Admin")
    for user in (operator, developer):
        client = enter(user)
        assert 'href="/people/"' not in client.get("/").content.decode()
        for page in PAGES:
            response = client.get(page)
            assert response.status_code == 403
            assert "It takes: Admin." in words(response) and "Ada Admin" in words(response)
            assert "Alan Admin" in words(response)
    denied = Record.objects.filter(action="access.denied")
    assert denied.count() == 2 * len(PAGES)
    kept = denied.latest("id")
    assert (kept.outcome, kept.actor, kept.after["permission"]) == ("denied", developer, "manage_people")
    assert kept.after["act"] == "GET /people/otto/role/" and "It takes: Admin." in kept.reason


def test_the_list_says_who_is_who(ada, admin, operator, person):
    give_second_factor(operator)
    make_key(operator, days=5, created_at=timezone.now() - timedelta(days=80))
    APIKey.objects.update(created_at=timezone.now() - timedelta(days=80))
    person("igor", "Admin")
    User.objects.filter(username="igor").update(is_active=False)
    person("nora", "Admin")
    text = words(ada.get("/people/"))
    assert re.search(r"Ada Admin *ada *Admin *Active *Passkey and app", text)
    assert re.search(r"Otto Operator *otto *Operator *Invited, not entered yet *Passkey and app *never *1 *1 due", text)
    assert re.search(r"Igor Admin *igor *Admin *Inactive *None *never", text), "nobody worries about somebody shut out"
    assert re.search(r"Nora Admin *nora *Admin *Invited, not entered yet *None: cannot act", text)


def test_search_and_filters(ada, operator, developer):
    def names(query: str) -> set[str]:
        return set(re.findall(r'href="/people/(\w+)/" data-row-link', ada.get(f"/people/{query}").content.decode()))

    assert names("") == {"ada", "otto", "dora"}
    assert names("?q=dora") == names("?q=dev") == names("?role=Developer") == {"dora"}
    assert names("?state=invited") == {"otto", "dora"} and names("?state=active") == {"ada"}
    assert names("?q=dora+otto") == set() and "Nobody matches" in words(ada.get("/people/?q=zzz"))
    wrong = ada.get("/people/?role=Boss")
    assert "There is no role “Boss”." in words(wrong) and 'href="/people/otto/"' in wrong.content.decode()


@pytest.mark.parametrize("page", ["/people/", "/people/api-keys/"])
def test_two_hundred_people_take_two_queries(page, ada, operator):
    def queries(address: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            ada.get(address)
        return len(captured)

    frame = queries("/people/roles/")  # a page of the same kind without a list
    make_key(operator)
    assert queries(page) - frame == 2
    for number in range(200):
        made = make_person(f"p{number}", "Developer")
        if number < 60:
            make_key(made)
    assert queries(page) - frame == 2
    assert re.search(r"Page 1 of [25], (202|61) ", words(ada.get(page)))


def test_an_invitation_shows_the_link_once(ada, settings):
    sent = {"username": "grace", "full_name": "Grace Hopper", "role": "Operator", "reason": "Joins the desk"}
    response = ada.post("/people/invite/", sent)
    assert response.status_code == 200 and "no-store" in response["Cache-Control"]
    link = html.unescape(re.search(r"<code>(http[^<]+)</code>", response.content.decode()).group(1))
    assert "data-copy" in response.content.decode() and "works once, until" in words(response)
    assert link not in ada.get("/people/grace/").content.decode()
    opened = ada.get(link.removeprefix(settings.OPSC_ORIGIN))
    assert "Grace Hopper" in words(opened)
    again = ada.post("/people/invite/", sent)
    assert (
        again.status_code == 400
        and "already exists" in words(again)
        and 'value="Grace Hopper"' in again.content.decode()
    )


@pytest.mark.parametrize("name", ["username", "full_name", "role", "reason"])
def test_what_is_missing_in_an_invitation_is_named(name, ada):
    sent = {"username": "grace", "full_name": "Grace Hopper", "role": "Operator", "reason": "Joins", name: ""}
    response = ada.post("/people/invite/", sent)
    assert response.status_code == 400 and f'href="#{name}"' in response.content.decode()
    assert not User.objects.filter(username="grace").exists()


@pytest.mark.parametrize("name", ["username", "full_name", "reason"])
def test_overlong_and_broken_text_is_refused(name, ada):
    for text in ("x" * 2000, "nul\x00", "x" * 180 if name == "full_name" else "y" * 600):
        sent = {"username": "grace", "full_name": "Grace Hopper", "role": "Operator", "reason": "Joins", name: text}
        assert ada.post("/people/invite/", sent).status_code == 400


def test_making_an_admin_takes_a_proof(ada):
    sent = {"username": "grace", "full_name": "Grace Hopper", "role": "Admin", "reason": "Second pair of eyes"}
    first = ada.post("/people/invite/", sent)
    assert first.status_code == 200 and "An Admin can do everything." in words(first)
    assert "Second pair of eyes</textarea>" in first.content.decode()
    assert ada.post("/people/invite/", {**sent, "challenge": "x", "name_typed": "grace"}).status_code == 403
    assert not User.objects.filter(username="grace").exists()
    wrong = send_with_proof(ada, "/people/invite/", {**sent, "name_typed": "ada"})
    assert wrong.status_code == 403 and "Type the name exactly" in words(wrong)
    assert "Hand it over now" in words(send_with_proof(ada, "/people/invite/", {**sent, "name_typed": "grace"}))
    assert [action for action, _ in confirmed()] == ["user.invited"]


@pytest.mark.parametrize("act", [*SAFE_ACTS, *CONFIRMED_ACTS])
def test_a_page_of_an_act_says_what_happens_and_asks_why(act, ada, operator):
    if act == "reactivate":
        User.objects.filter(pk=operator.pk).update(is_active=False)
    page = ada.get(f"/people/otto/{act}/")
    assert page.status_code == 200 and 'name="reason"' in page.content.decode() and "Otto Operator" in words(page)
    assert ("name_typed" in page.content.decode()) is (act in CONFIRMED_ACTS)
    refused = ada.post(f"/people/otto/{act}/", {"reason": " ", "role": "Developer"})
    assert refused.status_code == 400 and "Say why" in words(refused) and not confirmed()


def test_without_a_proof_nothing_is_done(ada, operator):
    give_second_factor(operator)
    for act in CONFIRMED_ACTS:
        refused = ada.post(f"/people/otto/{act}/", {"reason": "Because", "role": "Developer", "name_typed": "otto"})
        assert refused.status_code == 403 and "Nothing was done." in words(refused)
        assert "Because</textarea>" in refused.content.decode()
    assert not Record.objects.filter(action__startswith="user.").exists()
    codes = Record.objects.filter(action="access.denied").values_list("after__code", flat=True)
    assert set(codes) == {"step_up_required"}


def test_a_proof_is_taken_for_the_act_and_the_person(ada, operator):
    give_second_factor(operator)
    typed = {"name_typed": "otto"}
    role = send_with_proof(ada, "/people/otto/role/", {"reason": "Moves", "role": "Developer", **typed})
    assert role["Location"] == "/people/otto/"
    lost = send_with_proof(ada, "/people/otto/second-factor/", {"reason": "Lost", **typed})
    assert lost["Location"] == "/people/otto/link/"
    ada.post("/people/otto/deactivate/", {"reason": "Left"})
    assert send_with_proof(ada, "/people/otto/reactivate/", {"reason": "Back", **typed}).status_code == 302
    actions = ["user.role_changed", "user.second_factor_removed", "user.reactivated"]
    assert confirmed() == [(action, "otto") for action in actions]
    operator = User.objects.get(pk=operator.pk)
    assert operator.role == "Developer" and operator.is_active and not operator.passkeys.exists()


def test_a_proof_for_one_person_serves_for_no_other(ada, operator, developer):
    page = ada.get("/people/dora/role/").content.decode()
    challenge = re.search(r'name="challenge" value="([^"]+)"', page).group(1)
    sent = {"reason": "Because", "role": "Admin", "name_typed": "otto", "challenge": challenge}
    refused = ada.post("/people/otto/role/", {**sent, "code": pyotp.TOTP(SEED).now()})
    assert refused.status_code == 403 and User.objects.get(pk=operator.pk).role == "Operator"


def test_a_link_for_an_admin_takes_a_proof_as_making_one_does(ada, operator, person):
    person("alan", "Admin")
    assert "Hand it over now" in words(ada.post("/people/otto/link/", {"reason": "New phone"}))
    assert ada.post("/people/alan/link/", {"reason": "New phone"}).status_code == 403 and not confirmed()
    proved = send_with_proof(ada, "/people/alan/link/", {"reason": "New phone", "name_typed": "alan"})
    assert "Hand it over now" in words(proved) and confirmed() == [("user.invited", "alan")]


def test_nobody_does_it_to_themselves(ada):
    own = ada.get("/people/ada/").content.decode()
    assert "This is you." in own
    for act in (*SAFE_ACTS, *CONFIRMED_ACTS):
        assert f"/people/ada/{act}/" not in own
        assert ada.get(f"/people/ada/{act}/").status_code == 403
        assert ada.post(f"/people/ada/{act}/", {"reason": "Because", "role": "Operator"}).status_code == 403
    assert not confirmed() and User.objects.get(username="ada").role == "Admin"


def test_a_person_who_is_shut_out(ada, operator):
    give_second_factor(operator)
    enter(operator)
    make_key(
        operator, name="Nightly export", scopes=["view_environment", "deploy_environment"], networks=["10.0.0.0/8"]
    )
    text = words(ada.get("/people/otto/"))
    for said in ("Nightly export", "from 10.0.0.0/8", "register releases, deploy", "192.0.2.7", "Laptop", "Deactivate"):
        assert said in text
    ada.post("/people/otto/deactivate/", {"reason": "Left"})
    text = words(ada.get("/people/otto/"))
    assert (
        "Inactive" in text and "Nothing is open" in text and "Refused: owner inactive" in text and "Reactivate" in text
    )


def test_keys_of_everybody_due_first(ada, operator, developer):
    make_key(operator, name="Fresh")
    make_key(developer, name="Old", days=4)
    APIKey.objects.filter(name="Old").update(created_at=timezone.now() - timedelta(days=60))
    make_key(developer, name="Gone", revoked_at=timezone.now())
    make_key(developer, name="Login", kind="login")
    text = words(ada.get("/people/api-keys/"))
    assert text.index("Old") < text.index("Fresh") < text.index("Gone") and "Login" not in text
    assert "Ends soon" in text and "Fresh" not in words(ada.get("/people/api-keys/?state=due"))
    assert "Gone" not in words(ada.get("/people/api-keys/?state=usable"))
    assert "Old" not in words(ada.get("/people/api-keys/?q=otto"))


def test_revoking_a_key_of_somebody(ada, operator):
    make_key(operator, name="Leaky")
    prefix = APIKey.objects.get().prefix
    assert "Leaky of Otto Operator" in words(ada.get(f"/people/api-keys/{prefix}/revoke/"))
    assert ada.post(f"/people/api-keys/{prefix}/revoke/", {"reason": ""}).status_code == 400
    done = ada.post(f"/people/api-keys/{prefix}/revoke/?of=person", {"reason": "In a public repository"})
    assert done["Location"] == "/people/otto/" and APIKey.objects.get().revoked_at
    assert Record.objects.get(action="api_key.revoked").reason == "In a public repository"


def test_the_role_table_is_what_is_granted(ada):
    text = words(ada.get("/people/roles/"))
    for said in PERMISSION_WORDS.values():
        assert said[1:] in text
    assert re.search(r"Deploy to this environment *Yes *No *Outside of production", text)
    assert re.search(r"Approve deployments to this environment *Requests of somebody else only\. *Yes *No *No", text)
    assert re.search(r"Stop trading here in an emergency *Yes *Yes *No", text)
    assert [role.value in text for role in Role] == [True] * 3


@pytest.mark.parametrize(
    "address", ["/people/nobody/", "/people/%00/", "/people/nobody/role/", "/people/api-keys/abc/revoke/"]
)
def test_who_is_not_there_is_not_found(address, ada):
    response = ada.get(address)
    assert response.status_code == 404 and "Search the audit trail" in words(response)
