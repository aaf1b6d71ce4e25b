"""The page at /ui in a real browser, with a failover before its eyes. Pictures of it stay in BUILD/ui."""
import os
import re
import signal

import pytest

import faults
from browser import Browser
from rig import wait_for

pytestmark = pytest.mark.rest
ON_EITHER_STORE = True
EVIL = "<img src=x onerror='document.title=`broken`'>"
PICTURES = os.path.join(os.path.abspath(os.environ.get("BUILD", "build/debug")), "ui")


@pytest.fixture
def browsers(cluster):
    made = []

    def make(*args, **kwargs):
        made.append(Browser(cluster, "client", *args, **kwargs))
        return made[-1]

    yield make
    for browser in made:
        browser.close()


def kept(name, store):
    os.makedirs(PICTURES, exist_ok=True)
    return os.path.join(PICTURES, f"{name}-{store}.png")


def mark(node):
    """A tag that would be an element, were it not put in as text."""
    with open(node.config) as f:
        text = f.read()
    assert "\n  nosync: false" in text
    with open(node.config, "w") as f:
        f.write(text.replace("\n  nosync: false", f'\n  nosync: false\n  note: "{EVIL}"'))
    os.kill(node.agent_pid(), signal.SIGHUP)


def cards(browser):
    """name -> text of the card."""
    return dict(zip(browser.texts(".member h3"), browser.texts(".member")))


def all_well(browser, count, timeout=40):
    browser.wait_text("#health", lambda text: text == f"All {count} members are well", timeout)


def runs_down(browser, limit):
    """And is renewed: for several seconds it is never seen at its end."""
    seen = [float(browser.text("#lease-left").split()[0])]

    def look():
        seen.append(float(browser.text("#lease-left").split()[0]))
        return sum(after > before for before, after in zip(seen, seen[1:])) >= 3

    wait_for("it is renewed three times", look, 20)
    assert all(0 < left <= limit for left in seen) and len(set(seen)) > 3, seen


def network_alone(complaints):
    return [c for c in complaints if c["source"] != "network"]


def test_a_failover_is_seen_as_it_happens(cluster, store, browsers):
    leader, standby = cluster.leader(), cluster.replicas()[0]
    mark(standby)
    browser = browsers(1280, 900)
    browser.open(f"http://{standby.address}:8008/ui")
    all_well(browser, 3)
    assert browser.text("#leader") == leader.name
    assert browser.text("#seen") == f"as {standby.name} sees it"
    left = browser.text("#lease-left")
    if store == "raft":
        assert 0 < float(re.fullmatch(r"([0-9.]+) s", left)[1]) <= 3, left
        runs_down(browser, 3)
    else:
        assert left == "–"
    seen = cards(browser)
    assert set(seen) == set(cluster.nodes) and all("timeline" in text and f"{cluster.nodes[name].address}:5432" in text for name, text in seen.items())
    assert "Leader" in seen[leader.name] and "behind" not in seen[leader.name]
    assert "Replica" in seen[standby.name] and "0 B behind" in seen[standby.name]
    wait_for("the tag is shown", lambda: EVIL in cards(browser)[standby.name], 20)
    wait_for("the lag is drawn", lambda: browser.script("return document.querySelector('.member:not(.leads) .curve').getAttribute('d').length") > 20, 10)
    browser.picture(kept("1-before", store))
    assert browser.complaints() == []

    leader.kill_node()
    winner = faults.wait_new_leader(cluster, leader)
    browser.wait_text("#leader", lambda text: text == winner.name, 20)
    browser.wait_text("#health", lambda text: text in ("All 2 members are well", "2 of 3 members are well"), 30)
    assert browser.texts("#decisions .rule") and all(browser.texts("#decisions .why"))
    assert "Leader" in cards(browser)[winner.name]
    browser.picture(kept("2-after", store))
    leader.start_agent()
    all_well(browser, 3, 60)
    assert cards(browser)[leader.name].count("Leader") == 0
    assert browser.complaints() == []  # no script, no policy, no request that failed
    assert browser.script("return document.images.length") == 1  # the icon: nothing was made of the tag
    assert "broken" not in browser.script("return document.title")


def test_the_holder_counts_its_own_lease(cluster, store, browsers):
    leader = cluster.leader()
    browser = browsers(1280, 900)
    browser.open(f"http://{leader.address}:8008/ui")
    all_well(browser, 3)
    limit = 3 if store == "raft" else 5
    wait_for("it is told", lambda: re.fullmatch(r"[0-9.]+ s", browser.text("#lease-left")), 10)
    runs_down(browser, limit)
    assert browser.text("#lease-text").startswith(f"Writes on {leader.name} stop when it runs out")
    assert browser.complaints() == []


def test_it_reads_well_on_a_phone_in_the_dark(cluster, store, browsers):
    browser = browsers(390, 844, dark=True)
    browser.open(f"http://{cluster.leader().address}:8008/ui")
    all_well(browser, 3)
    assert browser.script("return document.documentElement.scrollWidth") <= 390  # nothing sticks out
    lefts = browser.script("return [...document.querySelectorAll('.member')].map((e) => Math.round(e.getBoundingClientRect().left))")
    assert len(lefts) == 3 and len(set(lefts)) == 1  # one below the other
    back = browser.script("return getComputedStyle(document.body).backgroundColor")
    assert max(int(part) for part in re.findall(r"\d+", back)[:3]) < 64, back
    browser.picture(kept("3-phone", store))
    assert browser.complaints() == []


def test_a_member_that_does_not_answer_is_shown_as_such(cluster, store, browsers):
    standby = cluster.replicas()[0]
    browser = browsers(1280, 900)
    browser.open(f"http://{standby.address}:8008/ui")
    all_well(browser, 3)
    standby.kill_agent()
    told = browser.wait_text("#outage", lambda text: "does not answer" in text, 20)
    assert standby.name in told and "asking again" in told
    assert browser.text("#health") == "No answer" and browser.text("#lease-left") == "–"
    assert browser.script("return document.body.classList.contains('stale')")
    assert len(cards(browser)) == 3  # as they were
    browser.wait_text("#outage", lambda text: re.search(r"in [2-9] s", text), 20)  # it asks more and more seldom
    browser.picture(kept("4-dead", store))
    links = browser.script("return [...document.querySelectorAll('.member h3 a')].map((e) => e.href)")
    assert sorted(links) == sorted(f"http://{node.address}:8008/ui" for node in cluster.nodes.values() if node is not standby)
    standby.start_agent()
    all_well(browser, 3, 60)
    assert browser.script("return document.getElementById('outage').hidden && !document.body.classList.contains('stale')")
    assert network_alone(browser.complaints()) == []
