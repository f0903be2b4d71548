// Live updates: one socket a page, numbered messages, catch-up, and a state that never claims more than is known.
// Regions are elements with an id and data-region; a message carries their new content. See accounts/live.py for the protocol.
"use strict";
(() => {
  const { $, $$, now, learn, clockText, duration } = window.opsc;
  const topics = (document.body.dataset.topics || "").split(",").map((name) => name.trim()).filter(Boolean);
  if (topics.length && $("#alerts-badge") && !topics.includes("alerts")) topics.push("alerts"); // the count in the header
  const SILENT = 15_000, SNAP = 250, POLL_AFTER = 60_000, POLL_EVERY = 10_000, MAX_OPS = 20;
  const SIGNED_OUT = 4401, NOT_ALLOWED = 4403;

  // --- Announcements: two regions, one polite sentence every 2 s, the more important first, the same one once.
  const queue = [];
  let spokeAt = 0, speaking = 0;
  function say(text, rank = 2, urgent = false) {
    if (!text) return;
    if (urgent) { put($("#say-assertive"), text); return; }
    if (!queue.some((item) => item.text === text)) queue.push({ text, rank });
    if (!speaking) speaking = setTimeout(speak, Math.max(0, spokeAt + 2000 - Date.now()));
  }
  function speak() {
    speaking = 0;
    queue.sort((a, b) => a.rank - b.rank);
    const next = queue.shift();
    if (!next) return;
    spokeAt = Date.now();
    put($("#say-polite"), next.text);
    if (queue.length) speaking = setTimeout(speak, 2000);
  }
  function put(region, text) { region.textContent = ""; setTimeout(() => { region.textContent = text; }, 60); }
  window.opsc.say = say;
  window.opsc.early = []; // points that come before charts.js has loaded
  window.opsc.chart = (part) => window.opsc.early.push(part);
  if (!topics.length) return;

  // --- Painting: the first change at once, then what is collected at most four times a second; the newest of each region wins.
  const waiting = new Map(), reloads = new Map(), flashed = new Map(), held = new Set();
  let timer = 0, paintedAt = 0;
  function later() {
    if (timer || document.hidden) return;
    timer = setTimeout(() => requestAnimationFrame(paint), Math.max(0, SNAP - (performance.now() - paintedAt)));
  }
  function paint() {
    timer = 0;
    paintedAt = performance.now();
    let left = MAX_OPS;
    for (const [id, content] of waiting) {
      if (!left) break;
      const region = document.getElementById(id);
      if (!region) { waiting.delete(id); continue; }
      if (isHeld(region)) continue;
      waiting.delete(id);
      left -= 1;
      replace(region, content);
    }
    for (const [id, part] of reloads) {
      const region = document.getElementById(id);
      if (region && isHeld(region)) continue;
      reloads.delete(id);
      if (region) fetchInto(region, part);
    }
    if ([...waiting.keys()].some((id) => !held.has(id))) later();
  }
  // Nothing is replaced under somebody's hands: focus, an open menu or dialog, a selection, a field already changed.
  function isHeld(region) {
    const chosen = getSelection();
    const busy = region.contains(document.activeElement) && document.activeElement !== document.body
      || !!$("dialog[open], details[data-menu][open], [aria-busy='true']", region) || isEdited(region)
      || (chosen && !chosen.isCollapsed && chosen.intersectsNode(region));
    region.toggleAttribute("data-changed", !!busy);
    if (busy) held.add(region.id); else held.delete(region.id);
    return busy;
  }
  const isEdited = (region) => $$("textarea, input:not([type=hidden], [type=checkbox], [type=radio])", region).some((field) => field.value !== field.defaultValue);
  const release = () => { if (held.size) setTimeout(later, 50); };
  for (const kind of ["focusout", "selectionchange", "toggle", "close"]) document.addEventListener(kind, release, true);

  function replace(region, content) {
    const before = states(region);
    const next = document.createElement("template");
    next.innerHTML = content;
    morph(region, next.content);
    window.opsc.localTitles();
    window.opsc.tick();
    if (states(region) !== before) { flash(region); renewNotices(); }
  }
  // The messages across the page are of this person alone, so no topic carries them: when a state changes the page asks for them.
  let noticesTimer = 0, noticesAt = 0;
  function renewNotices() {
    noticesTimer ||= setTimeout(async () => {
      noticesTimer = 0;
      noticesAt = Date.now();
      const page = await getPage();
      for (const id of ["engaged", "troubles"]) {
        const fresh = page?.getElementById(id);
        if (fresh) morph(document.getElementById(id), fresh);
      }
    }, Math.max(1000, noticesAt + 5000 - Date.now()));
  }
  async function getPage() {
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, credentials: "same-origin" });
      if (answer.redirected) become("signedout");
      else if (answer.ok) return new DOMParser().parseFromString(await answer.text(), "text/html");
    } catch { /* the chip says when the connection is lost */ }
    return null;
  }
  const states = (region) => $$(".status", region).map((element) => element.dataset.state).join();
  function flash(region) {
    if (Date.now() - (flashed.get(region.id) || 0) < 5000) return;
    flashed.set(region.id, Date.now());
    region.classList.remove("flash");
    void region.offsetWidth;
    region.classList.add("flash");
  }
  // Change only what differs, so that scroll positions, open tables and running animations stay.
  function morph(old, next) {
    const fresh = [...next.childNodes];
    fresh.forEach((node, index) => {
      const mine = old.childNodes[index];
      if (!mine) old.append(node);
      else if (mine.isEqualNode(node)) return;
      else if (mine.nodeType !== node.nodeType || mine.nodeName !== node.nodeName || mine.id !== node.id) mine.replaceWith(node);
      else if (mine.nodeType === Node.ELEMENT_NODE) { attributes(mine, node); morph(mine, node); }
      else if (mine.nodeValue !== node.nodeValue) mine.nodeValue = node.nodeValue;
    });
    while (old.childNodes.length > fresh.length) old.lastChild.remove();
  }
  function attributes(old, next) {
    for (const { name, value } of next.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    for (const { name } of [...old.attributes]) if (!next.hasAttribute(name) && !(name === "open" || name === "title")) old.removeAttribute(name);
  }
  async function fetchInto(region, part) {
    const wait = () => { if (!reloads.has(part.id)) reloads.set(part.id, part); };
    try {
      const answer = await fetch(part.reload + (region.dataset.query || ""), { // a page says what it shows of it
        headers: { Accept: "text/html" }, credentials: "same-origin" });
      if (answer.redirected || answer.status === 401) return become("signedout");
      if (!answer.ok) return setTimeout(() => { wait(); later(); }, 2000);
      const text = await answer.text();
      if (isHeld(region)) return wait(); // somebody began to type meanwhile
      region.innerHTML = text;
      region.dataset.stamp = part.stamp;
      window.opsc.upgrade?.(region);
      risky();
    } catch { wait(); }
  }

  // --- The connection
  let socket = null, state = "static", heardAt = Date.now(), freshAt = Date.now(), lostAt = 0, retryAt = 0, tries = 0, retryTimer = 0, polledAt = 0, welcomed = false, renewed = false;
  const position = new Map(); // topic -> {hub, seq}
  function connect() {
    clearTimeout(retryTimer);
    if (socket || state === "signedout") return;
    const since = topics.map((name) => { const at = position.get(name); return at ? `${at.hub}:${at.seq}` : ""; }).join(",");
    const address = new URL("/ws/live/", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.search = new URLSearchParams({ topics: topics.join(","), since });
    const mine = socket = new WebSocket(address);
    mine.onmessage = (event) => { if (mine === socket) hear(JSON.parse(event.data)); };
    mine.onclose = (event) => { if (mine === socket) { socket = null; closed(event.code); } };
  }
  function closed(code) {
    // A fresh proof in another tab gives the session a new key: ask once more, with the present one.
    if (code === SIGNED_OUT && !renewed) { renewed = true; return connect(); }
    if (code === SIGNED_OUT || code === NOT_ALLOWED) return become("signedout", code === NOT_ALLOWED);
    lostAt ||= Date.now();
    const wait = Math.max(500, Math.random() * Math.min(30_000, 500 * 2 ** tries));
    tries += 1;
    retryAt = Date.now() + wait;
    retryTimer = setTimeout(connect, wait);
    if (tries > 1 || state !== "live") become("lost"); // one quick retry is silent: a deploy of the console is no alarm
  }
  function drop() { const old = socket; socket = null; old?.close(); }
  function hear(message) {
    heardAt = Date.now();
    if (message.server_time) learn(message.server_time);
    if (message.type === "hello") { position.set(message.topic, { hub: message.hub, seq: message.seq }); welcome(message); }
    else if (message.type === "hb") beat(message.topics);
    else if (message.type === "patch") patch(message);
  }
  function welcome(message) {
    const wasLost = state === "lost" || state === "nodata";
    tries = 0; lostAt = 0; renewed = false; freshAt = Date.now();
    become("live");
    if (wasLost) say("Live updates are back.", 0);
    if (wasLost || (welcomed && message.mode === "snapshot")) window.dispatchEvent(new Event("opsc:catch-up"));
    welcomed = true;
  }
  function beat(found) {
    for (const [name, { hub, seq }] of Object.entries(found)) {
      const at = position.get(name);
      if (!at || at.hub !== hub || at.seq < seq) { drop(); connect(); return; }
    }
    const age = Math.max(...Object.values(found).map((topic) => topic.age));
    if (age < 10) freshAt = Date.now();
    else freshAt = Math.min(freshAt, Date.now() - age * 1000);
    look();
  }
  function patch(message) {
    const at = position.get(message.topic);
    if (!message.full && at && message.seq !== at.seq + 1) { drop(); connect(); return; }
    if (at) at.seq = message.seq;
    freshAt = Date.now();
    if (state !== "live") become("live");
    for (const part of message.p) {
      if ("chart" in part) window.opsc.chart(part);
      else if ("reload" in part) { if (document.getElementById(part.id)?.dataset.stamp !== part.stamp) reloads.set(part.id, part); }
      else waiting.set(part.id, part.html);
    }
    if (message.say) say(message.say.text, 1, message.say.urgent);
    later();
  }
  // --- The states: the chip, the banner, hatched panels with the time of what they show, and risky acts refused.
  function become(next, forbidden = false) {
    const before = state;
    state = next;
    const stale = next !== "live" && next !== "connecting";
    $("#conn").dataset.conn = next;
    document.body.toggleAttribute("data-stale", stale);
    if (stale && (before === "live" || before === "static" || before === "connecting")) {
      for (const element of $$("[data-asof]")) { element.hidden = false; element.textContent = `as of ${clockText(now() - (Date.now() - freshAt))} UTC`; }
      say(next === "signedout" ? "You are not signed in any more." : "Live updates lost.", 0, true);
    }
    if (!stale) for (const element of $$("[data-asof]")) element.hidden = true;
    if (next === "signedout") $("#lost-text").textContent = forbidden ? "You may no longer see this; reload the page." : "Your session has ended: sign in again. What you see is old.";
    $("#lost").hidden = !stale;
    risky();
    look();
  }
  function look() {
    if (state === "live" || state === "nodata") {
      const silent = Math.max(Date.now() - heardAt, Date.now() - freshAt);
      if (state === "live" && silent > SILENT) { lostAt ||= Date.now(); return become("nodata"); }
      if (state === "nodata" && silent < SILENT) { lostAt = 0; return become("live"); }
    }
    const seconds = Math.round((Date.now() - freshAt) / 1000), left = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
    const words = { static: "Connecting", connecting: "Connecting", live: "Live", nodata: `No data for ${seconds} s`, signedout: "Not signed in",
      lost: socket ? "Disconnected, trying" : `Disconnected, retrying in ${left} s` }[state];
    const chip = $("#conn-text");
    if (chip.textContent !== words) chip.textContent = words;
    if (state === "lost" || state === "nodata")
      $("#lost-text").textContent = `What you see is ${duration(seconds)} old. The kill switch, abort, hold and roll back still work; promote and resume wait for live data.`;
  }
  // Promote and resume rest on what is seen, so they wait; abort, hold and roll back lead to safety and stay.
  function risky() {
    const stale = document.body.hasAttribute("data-stale");
    for (const control of $$("[data-risky]")) {
      const why = control.nextElementSibling?.matches(".why[data-stale-why]") ? control.nextElementSibling : null;
      if (stale && !why) {
        control.setAttribute("aria-disabled", "true");
        const note = document.createElement("span");
        note.className = "why"; note.dataset.staleWhy = ""; note.textContent = "Waits for live data.";
        control.after(note);
      } else if (!stale && why) { control.removeAttribute("aria-disabled"); why.remove(); }
    }
  }
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("[data-risky][aria-disabled='true']")) { event.preventDefault(); event.stopImmediatePropagation(); }
  }, true);

  // --- Without a socket for a minute the page asks by plain GET as well.
  async function poll() {
    if (!lostAt || Date.now() - lostAt < POLL_AFTER || Date.now() - polledAt < POLL_EVERY || document.hidden || state === "signedout") return;
    polledAt = Date.now();
    const page = await getPage();
    if (!page) return;
    for (const region of $$("[data-region]", page)) if (region.id) waiting.set(region.id, region.innerHTML);
    freshAt = Date.now();
    for (const element of $$("[data-asof]")) element.textContent = `as of ${clockText(now())} UTC, asked each 10 s`;
    window.dispatchEvent(new Event("opsc:catch-up"));
    later();
  }

  const again = () => { if (!socket && state !== "signedout") { tries = 0; connect(); } };
  window.addEventListener("online", again);
  $("#lost-retry").addEventListener("click", () => { if (state === "signedout") location.reload(); else { drop(); again(); } });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) { again(); later(); look(); } });
  window.addEventListener("pagehide", drop);
  window.addEventListener("pageshow", (event) => { if (event.persisted) again(); });
  setInterval(() => { look(); poll(); }, 1000);
  become("connecting");
  connect();
})();
