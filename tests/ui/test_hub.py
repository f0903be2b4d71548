"""The hub of a topic: what is sent, when, and how a page catches up."""

import asyncio

import pytest

from accounts import hub as hub_module
from accounts.hub import TopicHub
from accounts.topics import Reload, Series, UnknownTopic, find, topic
from tests.ui.live_world import Listener, register


@pytest.fixture
def world(monkeypatch):
    return register(monkeypatch)


@pytest.fixture
async def hub(world):
    made = TopicHub("world")
    yield made
    for task in made._tasks:
        task.cancel()


async def test_the_first_visit_gets_everything(world, hub):
    world.regions["b"] = Reload("/b/", "s1")
    world.charts["k"] = Series([(1, 2.0), (2, None)], baseline=2.0, marks=[(1.5, "live")])
    page = Listener()
    await hub.join(page)
    hello, patch = page.messages
    assert (hello["type"], hello["mode"], hello["hub"], hello["seq"]) == ("hello", "snapshot", hub.id, patch["seq"])
    assert patch["full"] is True and patch["p"] == [
        {"id": "a", "html": "one"},
        {"id": "b", "reload": "/b/", "stamp": "s1"},
        {"chart": "k", "pts": [[1, 2.0], [2, None]], "baseline": 2.0, "limit": None, "marks": [[1.5, "live"]]},
    ]


async def test_only_what_changed_is_sent_with_growing_numbers(world, hub):
    world.regions["b"] = "same"
    world.charts["k"] = Series([(1, 2.0)])
    page = Listener()
    await hub.join(page)
    world.regions["a"] = "two"
    world.charts["k"] = Series([(1, 2.0), (2, 3.0)])
    hub.ring()
    await page.until(3)
    world.regions["a"] = "three"
    await page.until(4)
    first, second = page.messages[2:]
    assert first["p"] == [{"id": "a", "html": "two"}, {"chart": "k", "pts": [[2, 3.0]]}]
    assert second["p"] == [{"id": "a", "html": "three"}] and second["seq"] == first["seq"] + 1


async def test_text_that_the_page_counts_itself_is_no_change(world, hub):
    world.regions["a"] = '<time datetime="x" data-since class="num">3 s</time>'
    page = Listener()
    await hub.join(page)
    world.regions["a"] = world.regions["a"].replace("3 s", "4 s")
    await hub.look()
    world.regions["a"] = world.regions["a"].replace('"x"', '"y"')
    await hub.look()
    assert [message["p"] for message in page.messages[2:]] == [[{"id": "a", "html": world.regions["a"]}]]


async def test_rings_are_coalesced(world, hub):
    page = Listener()
    await hub.join(page)
    before = world.drawn
    loop = asyncio.get_running_loop()
    end, number = loop.time() + 1.2, 0
    while loop.time() < end:
        number += 1
        world.regions["a"] = str(number)
        hub.ring()
        await asyncio.sleep(0.01)
    assert number > 40 and 3 <= world.drawn - before <= 6
    gaps = [after - first for first, after in zip(page.times[2:], page.times[3:], strict=False)]
    assert min(gaps) >= hub_module.COALESCE_SECONDS * 0.9


async def test_without_a_ring_it_looks_each_second(world, hub):
    page = Listener()
    await hub.join(page)
    world.regions["a"] = "two"
    await page.until(3, seconds=1.5)
    assert page.messages[-1]["p"] == [{"id": "a", "html": "two"}]


async def test_a_page_that_comes_back_gets_what_it_missed(world, hub):
    page = Listener()
    await hub.join(page)
    seen = page.messages[-1]["seq"]
    hub.leave(page)
    for text in ("two", "three"):
        world.regions["a"] = text
        await hub.look()
    back = Listener()
    await hub.join(back, f"{hub.id}:{seen}")
    hello, *missed = back.messages
    assert (hello["mode"], hello["seq"]) == ("delta", seen)
    assert [(message["seq"], message["p"][0]["html"]) for message in missed] == [(seen + 1, "two"), (seen + 2, "three")]


@pytest.mark.parametrize("since", ["", "other:1", "{hub}:99", "{hub}:x", "{hub}:0"])
async def test_an_unknown_or_too_old_position_gets_everything(world, hub, since, monkeypatch):
    monkeypatch.setattr(hub_module, "KEPT_SECONDS", 0.0)
    await hub.join(Listener())
    for text in ("two", "three"):
        world.regions["a"] = text
        await hub.look()
    back = Listener()
    await hub.join(back, since.format(hub=hub.id))
    assert back.messages[0]["mode"] == "snapshot" and back.messages[1]["p"] == [{"id": "a", "html": "three"}]


async def test_what_cannot_be_drawn_grows_old_and_recovers(world, hub):
    page = Listener()
    await hub.join(page)
    world.fails = True
    fresh = hub.drawn_at
    await hub.look()
    assert hub.drawn_at == fresh and len(page.messages) == 2
    world.fails = False
    await hub.look()
    assert hub.drawn_at > fresh
    fails_at_once = TopicHub("world")
    world.fails = True
    with pytest.raises(RuntimeError):
        await fails_at_once.join(Listener())


async def test_words_are_announced_once_and_not_on_arrival(world, hub):
    world.say = "Running"
    page = Listener()
    await hub.join(page)
    await hub.look()
    world.say = "Held by Ada"
    await hub.look()
    await hub.look()
    assert [message.get("say") for message in page.messages[2:]] == [{"text": "Held by Ada", "urgent": False}]


async def test_a_hub_without_listeners_rests(world, hub):
    page = Listener()
    await hub.join(page)
    hub.leave(page)
    before = world.drawn
    await asyncio.sleep(1.3)
    assert world.drawn == before and hub.is_idle


def test_topics_are_found_by_name(world):
    topic("item.<id>", world.may_see, world.view)
    assert find("item.42")[1] == "42" and find("world")[1] == ""
    for name in ("item", "item.", "world.1", "none", "item.4/2", ""):
        with pytest.raises(UnknownTopic):
            find(name)
    with pytest.raises(ValueError, match="twice"):
        topic("item.<id>", world.may_see, world.view)
    with pytest.raises(ValueError, match="write it as"):
        topic("item-42", world.may_see, world.view)
