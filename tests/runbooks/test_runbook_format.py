"""The form of a runbook's file: what is read from it, and what is said about a file that cannot be used."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbooks.runbook_format import END, FormatError, parse
from tests.runbooks.books import BODY, text

WORDS = st.text("abc XYZ.é“”{}#`-_", min_size=1, max_size=40).map(str.strip).filter(bool)


def problems(source: str) -> list[str]:
    with pytest.raises(FormatError) as error:
        parse(source)
    return str(error.value).splitlines()


def step(line: str) -> str:
    """A file whose line 13 is this one."""
    return text(body=f"## 1. Look\n\n{line}\n")


def test_everything_that_a_file_can_say():
    book = parse(text())
    first, second, third = book.steps
    assert (book.slug, book.title, book.intro) == ("lamp", "The lamp is dark", "What to know first.")
    assert [(one.kind, one.key) for one in book.alert_kinds] == [("mismatch", "*")]
    assert (first.number, first.title, first.expect) == (1, "Look at the lamp in {environment}", "it shines")
    assert [(part.kind, part.text) for part in first.parts] == [
        ("text", "Look closely:"),
        ("command", "opsctl status {environment}"),
    ]
    assert [one.name for one in first.diagnostics] == ["alerts.open", "command:say", "command:slow", "command:gone"]
    assert first.diagnostic("command:say").command.run == ["echo", "lamp of {environment}"]
    assert first.offers("tests.mend") and not first.offers("tests.other")
    assert "Expect" not in first.body and "```sh" in first.body
    assert [book.after(1), book.after(1, failed=True), book.after(2), book.after(2, failed=True)] == [END, 3, 3, 3]
    assert [book.after(3), book.after(3, failed=True)] == [END, 1]
    assert first.if_failed.words == "it is broken" and second.if_failed is None and third.remedies[0].line == 39


def test_places_are_filled_wherever_they_stand():
    book = parse(text()).filled({"environment": "staging", "service": "trader"})
    assert book.steps[0].title == "Look at the lamp in staging"
    assert book.steps[0].commands == ("opsctl status staging",)
    assert parse(step("Version {release}")).filled({"environment": "x"}).steps[0].body == "Version {release}"


def test_instructions_may_go_on_and_do_without_the_dash():
    first = parse(
        step("Expect: all of it\n  shines\nLink: /alerts/?environment={environment} Alerts of it\n\nThe end.")
    ).steps[0]
    assert first.expect == "all of it shines" and first.body == "The end."
    assert [(one.path, one.text) for one in first.links] == [("/alerts/?environment={environment}", "Alerts of it")]


def test_what_stands_in_a_block_is_no_instruction():
    first = parse(step("```text\nExpect: nothing\n## 7. No step\n```\n\n~~~bash\nFix: x\n~~~")).steps[0]
    assert first.expect == "" and [part.kind for part in first.parts] == ["text", "command"]


def test_alerts_are_matched_by_kind_and_pattern():
    book = parse(text().replace("alerts: [mismatch]", "alerts: [breaker, {kind: breach, key: 'production:*'}]"))
    assert book.fits("breaker", "anything") and book.fits("breach", "production:7")
    assert not book.fits("breach", "staging:7") and not book.fits("stop", "production")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("- Chek: alerts.open", "“Chek:” means nothing here. Write “Check:”"),
        ("- expect: x", "Write “Expect:”"),
        ("- Check: open alerts", "such as “Check: environments.health”, not “open alerts”"),
        ("- Check command: rm", "There is no command “rm” below “commands:”"),
        ("- Fix: it", "such as “Fix: deployments.roll_back”"),
        ("- Link: https://example.org Away", "Write a path of this console"),
        ("- Link: //example.org/ Away", "Write a path of this console"),
        ("- If no: step 2", "There is no step 2; the last one is 1."),
        ("- If yes: step 1", "Step 1 leads to itself."),
        ("- If yes: onwards", "Write “step N” or “end”"),
        ("- Expect: a\n- Expect: b", "Step 1 has a second “Expect:”"),
        ("## 3. Next", "Begin this step with “## 2. Next”"),
        ("```sh\nls", "has no end"),
    ],
)
def test_errors_name_the_line_and_what_to_write(line, said):
    (found,) = problems(step(line))
    assert said in found
    place = 14 if "second" in said else 13
    assert found.startswith(f"line {place}: ")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("title: The lamp is dark\n", "", "line 2: “title” is missing"),
        ("slug: lamp", "slug: The Lamp", "line 2: “slug”"),
        ("summary:", "sumary:", "line 4: “sumary” is not known"),
        ("run: [echo, slow], timeout: 30", "run: [echo, slow], timeout: 61", "line 8: “commands.slow.timeout”"),
        ("run: [/nowhere/lamp]", "run: /nowhere/lamp", "line 9: “commands.gone.run”"),
        ("run: [/nowhere/lamp]", "run: ['{service}', x]", "name the program itself"),
        ("run: [/nowhere/lamp]", "run: [ls, '{home}']", "{home} is none of"),
        ("alerts: [mismatch]", "alerts: [", "is not YAML"),
        ("---\nWhat", "What", "line 1: Begin with front matter"),
    ],
)
def test_errors_of_the_front_matter_name_the_line(old, new, said):
    source = text().replace(old, new, 1)
    assert source != text() and any(said in one for one in problems(source))


def test_every_problem_of_a_file_is_named_at_once():
    found = problems(text(body="## 2. Look\n\n- Fix: x\n- If no: step 9\n"))
    assert [one.split(":")[0] for one in found] == ["line 11", "line 13", "line 14"]
    assert "There is no step" in problems(text(body="Nothing."))[0]
    assert "at most 200,000" in problems(text() + "x" * 200_000)[0]


@given(st.lists(st.tuples(WORDS, WORDS, st.booleans()), min_size=1, max_size=8), st.data())
def test_what_is_written_is_read(steps, data):
    lines, branches = [], []
    for number, (title, expect, has_branch) in enumerate(steps, 1):
        others = [one for one in range(len(steps) + 1) if one != number]
        branch = data.draw(st.sampled_from(others)) if has_branch else None
        branches.append(branch)
        lines += [f"## {number}. {title} x", f"- Expect: {expect}"]
        lines += [f"- If no: {f'step {branch}' if branch else 'end'}"] if branch is not None else []
    book = parse(text(body="\n".join(lines)))
    assert [one.expect for one in book.steps] == [expect for _, expect, _ in steps]
    assert [one.title for one in book.steps] == [f"{title} x" for title, _, _ in steps]
    assert [one.if_failed.step if one.if_failed else None for one in book.steps] == branches


@given(st.text(max_size=300))
def test_no_text_breaks_the_reader(body):
    for source in (body, text(body=body), "---\n" + body + "\n---\n" + BODY):
        try:
            parse(source)
        except FormatError as error:
            assert error.places and all(1 <= one.line <= source.count("\n") + 2 for one in error.places)
