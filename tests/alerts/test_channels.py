"""The file of channels: what is refused, with which words; and the command that checks and tries it."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
import yaml
from django.core.management import CommandError, call_command

from alerts.channels import ChannelsError, current, load

ROOT = Path(__file__).resolve().parents[2]
WEBHOOK = {"name": "on-call", "kind": "webhook", "url": "env:A_URL", "secret": "env:A_KEY"}


@pytest.fixture
def written(tmp_path):
    """A file with these channels: ``written({"name": …})``."""
    path = tmp_path / "channels.yaml"

    def write(*listed, text=None):
        path.write_text(yaml.safe_dump({"channels": list(listed)}) if text is None else text)
        return path

    return write


def test_a_channel_says_little_and_gets_much(written):
    [found] = load(written(WEBHOOK))
    assert (found.severities, found.environments, found.kinds) == (("critical", "warning"), (), ())
    assert (found.repeat.critical, found.repeat.warning, found.cleared) == (300, 3600, True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "On Call"}, "channels.0.name: String should match pattern"),
        ({"kind": "pager"}, "channels.0.kind: Input should be 'webhook' or 'apprise'"),
        ({"url": "https://hooks.example.com/Zk3PqvT9"}, "channels.0.url: Value error, write env:NAME or file:PATH"),
        ({"secret": "Zk3PqvT9"}, "channels.0.secret: Value error, write env:NAME or file:PATH"),
        ({"secret": ""}, "channels.0: Value error, a webhook needs secret"),
        ({"kind": "apprise"}, "channels.0: Value error, only a webhook is signed"),
        ({"severities": ["info"]}, "channels.0.severities.0: Input should be 'critical' or 'warning'"),
        ({"severities": []}, "channels.0.severities: Tuple should have at least 1 item"),
        ({"repeat": {"critical": 5}}, "channels.0.repeat.critical: Value error, write 0 (once only) or at least 30"),
        ({"repeat": {"fatal": 5}}, "channels.0.repeat.fatal: Extra inputs are not permitted"),
        ({"colour": "red"}, "channels.0.colour: Extra inputs are not permitted"),
    ],
)
def test_each_mistake_is_named_and_no_secret_with_it(change, words, written):
    with pytest.raises(ChannelsError) as error:
        load(written({**WEBHOOK, **change}))
    assert words in str(error.value) and "Zk3PqvT9" not in str(error.value)
    assert error.value.__cause__ is None, "whose words would hold what was written"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("channels: [Zk3PqvT9", "is not valid YAML: expected ',' or ']'"),
        ("channels: 3", "channels: Input should be a valid tuple"),
        ("- a", "file: Input should be"),
        ("channels: [{name: '${NO_SUCH_VARIABLE}'}]", "NO_SUCH_VARIABLE, which is not set"),
        (yaml.safe_dump({"channels": [WEBHOOK, WEBHOOK]}), "channel names used twice: on-call"),
    ],
)
def test_a_file_that_is_none(text, words, written):
    with pytest.raises(ChannelsError) as error:
        load(written(text=text))
    assert words in str(error.value) and "Zk3PqvT9" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path, settings):
    settings.ALERT_CHANNELS = tmp_path / "gone.yaml"
    for read in (lambda: load(settings.ALERT_CHANNELS), current):
        with pytest.raises(ChannelsError, match="cannot read .*: No such file"):
            read()
    settings.ALERT_CHANNELS = None
    assert current() == ()


def test_a_changed_file_counts_at_once(written, settings):
    settings.ALERT_CHANNELS = written(WEBHOOK)
    assert [channel.name for channel in current()] == ["on-call"]
    written({**WEBHOOK, "name": "night-shift"})
    assert [channel.name for channel in current()] == ["night-shift"]


def test_the_example_is_one(tmp_path):
    example = (ROOT / "demo/alert-channels.yaml").read_text()
    assert load(ROOT / "demo/alert-channels.yaml") == ()
    head, _, commented = example.partition("channels: []")
    lines = [line[1:] for line in commented.splitlines() if line.startswith("#")]
    whole = tmp_path / "example.yaml"
    whole.write_text(head + "channels:\n" + "\n".join(lines))
    on_call, traders = load(whole)
    assert (on_call.kind, on_call.environments, on_call.pause("critical")) == ("webhook", ("production",), 300)
    assert (traders.kind, traders.pause("warning")) == ("apprise", 3600)


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("alert_channels", *arguments, stdout=out)
    return out.getvalue()


class TestCommand:
    def test_without_a_file_it_says_what_that_means(self, settings, db):
        settings.ALERT_CHANNELS = None
        with pytest.raises(CommandError, match="shown on the pages only"):
            run()

    def test_it_lists(self, channels, production):
        channels({"severities": ["critical"], "environments": ["production"], "kinds": ["stop"]}, {"name": "all"})
        assert run() == (
            "on-call: webhook, critical, production, stop\nall: webhook, critical and warning, everywhere\n"
        )
        assert "No mistake found" in run("--check")

    def test_it_finds_what_would_fail_later(self, channels, production, monkeypatch, capsys):
        channels(
            {"name": "gone", "url": "env:NO_SUCH_VARIABLE", "environments": ["mars"]},
            {"name": "plain", "url": "env:PLAIN", "secret": "env:SHORT"},
            {"name": "chat", "kind": "apprise", "url": "env:PLAIN"},
        )
        monkeypatch.setenv("PLAIN", "http://hooks.example.com/Zk3PqvT9")
        monkeypatch.setenv("SHORT", "abc")
        out = StringIO()
        with pytest.raises(CommandError, match=r"5 mistakes found\. Nothing was sent\."):
            call_command("alert_channels", "--check", stdout=out)
        for words in ("NO_SUCH_VARIABLE is not set", "no environment mars", "plain http works on this machine only"):
            assert words in out.getvalue()
        assert "has 3 characters" in out.getvalue() and "Apprise does not know" in out.getvalue()
        assert "Zk3PqvT9" not in out.getvalue() and "abc" not in out.getvalue()

    def test_it_tries_one(self, channels, receiver, db):
        assert "Sent on on-call" in run("--test", "on-call")
        assert receiver.told == [[("raised", "Test of this channel")]]
        receiver.answers = [401]
        with pytest.raises(CommandError, match="on-call: answered 401"):
            run("--test", "on-call")
        with pytest.raises(CommandError, match="There is no channel 'x'. There are: on-call"):
            run("--test", "x")

    def test_another_file(self, written, db):
        assert run("--file", str(written(WEBHOOK))).startswith("on-call")
