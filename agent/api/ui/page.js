/* Asks ui/state again and again, and shows what it says.
 *
 * Whatever comes from the server is put in as text (textContent, or an attribute of a picture made
 * of numbers); a link is made only of an http or https address. The server's policy forbids every
 * other way. An answer that is late, broken or missing leaves the last picture, dimmed, with how
 * old it is; the next question then comes later and later, up to RETRY_MS_MAX. */
"use strict";

(() => {
    const POLL_MS = 1000;
    const TIMEOUT_MS = 4000;
    const RETRY_MS_MAX = 10000;
    const HISTORY_MS = 120000;
    const SAMPLES_MAX = 180;
    const LAG_FULL_BYTES = 65536; /* smaller lags are not drawn as high as the picture */
    const TICK_MS = 100;
    const SVG = "http://www.w3.org/2000/svg";
    const SPARK_WIDTH = 240;
    const SPARK_HEIGHT = 44;
    const LABEL_ROLES = {
        leader: "Leader", standby_leader: "Standby leader", sync_standby: "Sync standby",
        quorum_standby: "Quorum standby", replica: "Replica",
    };
    const GOOD_STATES = ["running", "streaming"];
    const BAD_STATES = ["stopped", "crashed", "start failed", "stop failed", "restart failed",
        "initdb failed", "custom bootstrap failed", "unknown", ""];

    const $ = (id) => document.getElementById(id);
    const cards = new Map(); /* of members, by name */
    let shown = null;        /* the last document */
    let shownAt = 0;         /* when it came, on this clock */
    let failures = 0;
    let failure = "";
    let nextAt = 0;
    let asking = false;

    /* --- small things --------------------------------------------------------------------- */

    function element(tag, className, text) {
        const made = document.createElement(tag);
        if (className) {
            made.className = className;
        }
        if (text !== undefined) {
            made.textContent = text;
        }
        return made;
    }

    function setText(node, text) {
        if (node.textContent !== text) {
            node.textContent = text; /* only where it changed: a selection stays */
        }
    }

    function setNotice(node, text) {
        setText(node, text);
        node.hidden = text === "";
    }

    function bytes(count) {
        const units = ["B", "kB", "MB", "GB", "TB"];
        let at = 0;
        while (count >= 1024 && at < units.length - 1) {
            count /= 1024;
            at++;
        }
        return (at === 0 || count >= 100 ? Math.round(count) : count.toFixed(1)) + " " + units[at];
    }

    function age(ms) {
        const seconds = Math.max(0, Math.round(ms / 1000));
        if (seconds < 60) {
            return seconds + " s";
        }
        if (seconds < 3600) {
            return Math.floor(seconds / 60) + " min";
        }
        return seconds < 172800 ? Math.floor(seconds / 3600) + " h" : Math.floor(seconds / 86400) + " days";
    }

    function clockTime(ms, nowMs) {
        const time = new Date(ms);
        const hours = time.toLocaleTimeString([], {hour12: false});
        const sameDay = time.toDateString() === new Date(nowMs).toDateString();
        return sameDay ? hours : time.toLocaleDateString() + " " + hours;
    }

    /* The page of another member; "" unless its address is one that a browser may be sent to. */
    function pageOf(apiUrl) {
        try {
            const url = new URL(apiUrl);
            return url.protocol === "http:" || url.protocol === "https:" ? url.origin + "/ui" : "";
        } catch (error) {
            return "";
        }
    }

    /* --- lag as a picture ----------------------------------------------------------------- */

    function makeSpark() {
        const picture = document.createElementNS(SVG, "svg");
        picture.setAttribute("class", "spark");
        picture.setAttribute("viewBox", "0 0 " + SPARK_WIDTH + " " + SPARK_HEIGHT);
        picture.setAttribute("preserveAspectRatio", "none");
        picture.setAttribute("role", "img");
        for (const name of ["ground", "area", "curve"]) {
            const part = document.createElementNS(SVG, "path");
            part.setAttribute("class", name);
            picture.append(part);
        }
        picture.children[0].setAttribute("d", "M0 " + (SPARK_HEIGHT - 1) + "H" + SPARK_WIDTH);
        return picture;
    }

    /* A gap where the lag was not known, or nobody answered. */
    function runsOf(samples) {
        const runs = [];
        let before = null;
        for (const sample of samples) {
            if (sample.lag !== null) {
                if (before === null || sample.at - before.at > 4 * POLL_MS) {
                    runs.push([]);
                }
                runs[runs.length - 1].push(sample);
                before = sample;
            } else {
                before = null;
            }
        }
        return runs;
    }

    function drawSpark(picture, samples, now) {
        const peak = samples.reduce((most, sample) => Math.max(most, sample.lag || 0), 0);
        const full = Math.max(peak, LAG_FULL_BYTES);
        const x = (sample) => (SPARK_WIDTH * (1 - (now - sample.at) / HISTORY_MS)).toFixed(1);
        const y = (sample) => (SPARK_HEIGHT - 2 - (SPARK_HEIGHT - 5) * sample.lag / full).toFixed(1);
        let curve = "";
        let area = "";
        for (const run of runsOf(samples)) {
            const line = run.map((sample) => x(sample) + " " + y(sample)).join("L");
            const foot = SPARK_HEIGHT - 1;
            curve += "M" + line;
            area += "M" + x(run[0]) + " " + foot + "L" + line + "L" + x(run[run.length - 1]) + " " + foot + "Z";
        }
        picture.children[1].setAttribute("d", area);
        picture.children[2].setAttribute("d", curve);
        picture.setAttribute("aria-label", "lag of the last two minutes, at most " + bytes(peak));
        return peak;
    }

    /* --- members -------------------------------------------------------------------------- */

    function makeCard(name) {
        const card = {root: element("article", "member card"), samples: [], facts: new Map()};
        const head = element("div", "member-head");
        card.title = element("h3");
        card.role = element("span", "role");
        card.state = element("p", "state");
        card.list = element("dl", "facts");
        card.trouble = element("p", "trouble");
        card.lagBox = element("div", "lag");
        const row = element("div", "lag-row");
        card.lag = element("b", "number");
        card.peak = element("span", "faint");
        card.spark = makeSpark();
        head.append(card.title, card.role);
        row.append(card.lag, card.peak);
        card.lagBox.append(row, card.spark);
        card.origin = element("p", "origin faint", "The others' lag is counted from here.");
        card.root.append(head, card.state, card.list, card.trouble, card.lagBox, card.origin);
        card.root.dataset.name = name;
        return card;
    }

    function setTitle(card, member, own) {
        const page = member.name === own ? "" : pageOf(member.api_url);
        if (card.page === page) {
            return;
        }
        card.page = page;
        const link = element(page === "" ? "span" : "a", "", member.name);
        if (page !== "") {
            link.href = page;
            link.title = "the page of this member";
        }
        card.title.replaceChildren(link);
    }

    function setFact(card, label, text) {
        let fact = card.facts.get(label);
        if (fact === undefined) {
            fact = {name: element("dt", "", label), value: element("dd", "number")};
            card.facts.set(label, fact);
            card.list.append(fact.name, fact.value);
        }
        setText(fact.value, text);
        fact.name.hidden = fact.value.hidden = text === "";
    }

    function stateClass(state) {
        return GOOD_STATES.includes(state) ? "is-good" : BAD_STATES.includes(state) ? "is-bad" : "is-warn";
    }

    function leads(member) {
        return member.role === "leader" || member.role === "standby_leader";
    }

    function showMember(member, own, now) {
        let card = cards.get(member.name);
        if (card === undefined) {
            card = makeCard(member.name);
            cards.set(member.name, card);
        }
        const tags = Object.entries(member.tags || {}).map(([key, value]) => key + ": " + value);
        setTitle(card, member, own);
        setText(card.role, LABEL_ROLES[member.role] || String(member.role));
        setText(card.state, String(member.state || "unknown"));
        card.state.className = "state " + stateClass(member.state);
        card.root.classList.toggle("leads", leads(member));
        setFact(card, "timeline", String(member.timeline || "–"));
        setFact(card, "address", member.host ? member.host + ":" + member.port : "–");
        setFact(card, "tags", tags.join(", "));
        setFact(card, "restart", member.pending_restart ? "waits for one" : "");
        setText(card.trouble, String(member.trouble || ""));
        card.trouble.hidden = !member.trouble;
        card.lagBox.hidden = leads(member);
        card.origin.hidden = !leads(member);
        card.samples.push({at: now, lag: Number.isInteger(member.lag) ? member.lag : null});
        while (card.samples.length > SAMPLES_MAX || now - card.samples[0].at > HISTORY_MS) {
            card.samples.shift();
        }
        const peak = drawSpark(card.spark, card.samples, now);
        setText(card.lag, Number.isInteger(member.lag) ? bytes(member.lag) + " behind" : "lag unknown");
        setText(card.peak, "2 min, peak " + bytes(peak));
        return card.root;
    }

    function showMembers(members, own, now) {
        const roots = members.map((member) => showMember(member, own, now));
        for (const name of [...cards.keys()]) {
            if (!members.some((member) => member.name === name)) {
                cards.get(name).root.remove();
                cards.delete(name);
            }
        }
        roots.forEach((root, at) => {
            if ($("members").children[at] !== root) {
                $("members").insertBefore(root, $("members").children[at] || null);
            }
        });
    }

    /* --- decisions ------------------------------------------------------------------------ */

    /* The first two lines are the rule and the reason; waiting is no action. */
    function actionsOf(plan) {
        return plan.split("\n").slice(2).filter((line) => line !== "" && !/^wait\b/.test(line)).join(", ");
    }

    function makeDecision(decision, nowMs) {
        const item = element("li");
        const time = element("time", "", clockTime(decision.time_ms, nowMs));
        const actions = actionsOf(decision.plan);
        const again = decision.repeats > 0 ? "  ×" + (decision.repeats + 1) : "";
        time.dateTime = new Date(decision.time_ms).toISOString();
        item.append(time, element("span", "rule", decision.rule + again));
        const short = decision.outcome === "done" || decision.outcome === "under way";
        if (actions !== "" && short) {
            item.append(element("span", "outcome pill" + (decision.outcome === "done" ? " good" : ""), decision.outcome));
        }
        item.append(element("p", "why", decision.reason));
        if (actions !== "") {
            item.append(element("p", "actions", actions));
        }
        if (actions !== "" && !short) {
            item.append(element("p", "why failed", decision.outcome));
        }
        return item;
    }

    let decisionsShown = "";
    function showDecisions(decisions, nowMs) {
        const now = JSON.stringify(decisions);
        if (now === decisionsShown) {
            return;
        }
        decisionsShown = now;
        const items = decisions.map((decision) => makeDecision(decision, nowMs));
        $("decisions").replaceChildren(...(items.length > 0 ? items
            : [element("li", "none", "none has changed anything since this agent was started")]));
    }

    /* --- the whole ------------------------------------------------------------------------ */

    function healthOf(state) {
        const members = state.cluster === null ? [] : state.cluster.members;
        const leader = members.find(leads);
        const good = members.filter((member) => GOOD_STATES.includes(member.state) && !member.trouble).length;
        if (state.cluster === null) {
            return ["warn", "The store was not read yet"];
        }
        if (state.lease.holder === null || leader === undefined) {
            return ["bad", "No leader"];
        }
        if (!GOOD_STATES.includes(leader.state)) {
            return ["warn", "Leader: " + leader.state];
        }
        if (good < members.length) {
            return ["warn", good + " of " + members.length + " members are well"];
        }
        return state.cluster.pause ? ["warn", "Paused"]
            : ["good", members.length === 1 ? "The only member is well" : "All " + members.length + " members are well"];
    }

    function notesOf(state) {
        const notes = [];
        const cluster = state.cluster || {};
        const scheduled = cluster.scheduled_switchover;
        if (state.store_age_ms !== null && state.store_age_ms > state.lease.ttl_ms) {
            notes.push("No word from the store for " + age(state.store_age_ms) + ": what stands here may be old.");
        }
        if (cluster.pause) {
            notes.push("Paused: nobody takes over by itself.");
        }
        if (scheduled) {
            notes.push("A switchover is scheduled at " + scheduled.at + (scheduled.to ? ", to " + scheduled.to : "") + ".");
        }
        return notes.join("\n");
    }

    function show(state, now) {
        const [kind, text] = healthOf(state);
        document.title = state.scope + " · " + text;
        setText($("scope"), state.scope);
        setText($("health"), text);
        $("health").className = "pill " + kind;
        setNotice($("notes"), notesOf(state));
        showMembers(state.cluster === null ? [] : state.cluster.members, state.name, now);
        setText($("decisions-title"), "Last decisions of " + state.name);
        showDecisions(state.decisions, state.time_ms);
        setText($("footer"), "pgquorum " + state.version + " · this page reads, and changes nothing");
    }

    /* A lease that is renewed jumps up again; between two answers it is counted down here. */
    function showLease(now) {
        const lease = shown.lease;
        const known = lease.left_ms !== null && failures === 0;
        const left = known ? Math.max(0, lease.left_ms - (now - shownAt)) : 0;
        const share = known && lease.ttl_ms > 0 ? Math.min(1, left / lease.ttl_ms) : 0;
        setText($("leader"), lease.holder === null ? "nobody" : lease.holder);
        setText($("lease-left"), known ? (left / 1000).toFixed(1) + " s" : "–");
        $("lease-bar").style.transform = "scaleX(" + share.toFixed(4) + ")";
        $("lease-bar").className = share > .4 ? "" : share > .15 ? "low" : "over";
        setText($("lease-label"), "Lease of " + (lease.ttl_ms / 1000) + " s, remaining");
        setText($("lease-text"), lease.holder === null ? "Nobody holds the leader key."
            : failures > 0 ? "Not known while this member does not answer."
            : lease.left_ms === null ? "The store does not tell how long it still lasts: its holder's own page does."
            : lease.mine ? "Writes on " + lease.holder + " stop when it runs out; it is renewed long before."
            : "As counted on " + shown.name + ": before it runs out nobody else can lead.");
    }

    function tick() {
        const now = performance.now();
        document.body.classList.toggle("stale", failures > 0);
        if (shown !== null) {
            showLease(now);
        }
        if (failures === 0) {
            setNotice($("outage"), "");
            setText($("seen"), shown === null ? "asking …" : "as " + shown.name + " sees it");
            return;
        }
        const wait = asking ? "asking again …" : "asking again in " + Math.max(1, Math.ceil((nextAt - now) / 1000)) + " s";
        const since = shown === null ? "" : " What you see is " + age(now - shownAt) + " old.";
        setNotice($("outage"), (shown === null ? "This member" : shown.name) + " does not answer (" + failure + "), " + wait + "." + since);
        setText($("seen"), shown === null ? "no answer yet" : "as " + shown.name + " saw it");
        setText($("health"), "No answer");
        $("health").className = "pill bad";
        document.title = "No answer" + (shown === null ? "" : " · " + shown.scope);
    }

    /* --- asking --------------------------------------------------------------------------- */

    async function ask() {
        const answer = await fetch("ui/state", {cache: "no-store", redirect: "error", signal: AbortSignal.timeout(TIMEOUT_MS)});
        if (!answer.ok) {
            throw new Error("status " + answer.status);
        }
        return answer.json();
    }

    async function poll() {
        if (asking || document.hidden) {
            return;
        }
        asking = true;
        try {
            const state = await ask();
            const now = performance.now();
            show(state, now);
            shown = state;
            shownAt = now;
            failures = 0;
        } catch (error) {
            failures++;
            failure = error.name === "TimeoutError" ? "not within " + TIMEOUT_MS / 1000 + " s"
                : error instanceof TypeError ? "no connection" : String(error.message);
        }
        asking = false;
        nextAt = performance.now() + Math.min(RETRY_MS_MAX, POLL_MS * 2 ** Math.max(0, failures - 1));
        tick();
    }

    /* Nobody looks: nobody asks. */
    document.addEventListener("visibilitychange", poll);
    setInterval(() => {
        tick();
        if (performance.now() >= nextAt) {
            poll();
        }
    }, TICK_MS);
    poll();
})();
