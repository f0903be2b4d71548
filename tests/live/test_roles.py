"""Who may do what, as the pages show it and as the server enforces it."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.live.visitor import Visitor

SEND = """([action, fields]) => {
  const form = document.createElement("form");
  form.method = "post";
  form.action = action;
  const token = document.querySelector("[name=csrfmiddlewaretoken]").value;
  for (const [name, value] of Object.entries({...fields, csrfmiddlewaretoken: token})) {
    const field = form.appendChild(document.createElement("input"));
    field.name = name;
    field.value = value;
  }
  document.body.append(form);
  form.submit();
}"""


def test_an_operator_looks_and_cannot_act(visitor, scene):
    number = scene.at_gate(scene.other_good())
    otto = visitor("Operator")
    otto.page.goto(f"/deployments/{number}/")
    otto.sees_live()
    expect(otto.page.locator("#actions")).to_have_text("Acting on production takes: Admin.")
    expect(otto.page.locator("main :is(button, a[data-dialog])").filter(has_text="Promote")).to_have_count(0)
    expect(otto.page.locator("main form")).to_have_count(0)
    otto.forgive_status(403)
    assert send(otto, f"/deployments/{number}/abort/", reason="I want to") == 403
    expect(otto.page.locator("main")).to_contain_text("Admin")
    assert scene.status(number) == "running"
    otto.page.goto("/deployments/")
    expect(otto.page.get_by_role("link", name="Start a deployment")).to_have_count(0)
    assert otto.page.goto("/deployments/new/").status == 403
    expect(otto.page.locator("main")).to_contain_text("It takes: Admin or Developer")


def test_a_developer_deploys_to_staging(visitor, scene):
    """To production only after an approval: test_approvals.py."""
    dora = visitor("Developer")
    new = scene.other_good("staging")
    number = dora.start("staging", new, "Try it on staging")
    dora.sees_status("Running")
    dora.confirm("Abort", "Not now")
    dora.sees_status("Aborted")
    assert scene.status(number) == "aborted"


def send(visitor: Visitor, address: str, **fields: str) -> int:
    """Send a form that the page does not have; the status of the answer, whose page then shows."""
    with visitor.page.expect_navigation() as answer:
        visitor.page.evaluate(SEND, [address, fields])
    return answer.value.status
