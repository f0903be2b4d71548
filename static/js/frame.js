// The frame: server clock, relative times, theme, menus, toasts and keys. Offers window.opsc to the other scripts.
"use strict";
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
  const html = document.documentElement;

  // --- The clock is the server's: its offset is learnt from the page and from each message of the socket.
  let offset = Number(document.body.dataset.now) * 1000 - Date.now();
  let known = false; // a page may come from the browser's cache, so only messages say how wrong the local clock is
  const now = () => Date.now() + offset;
  function learn(serverSeconds) {
    const found = serverSeconds * 1000 - Date.now();
    offset = !known || Math.abs(found - offset) > 500 ? found : offset * 0.8 + found * 0.2;
    known = true;
    const skew = $("#skew"), seconds = Math.round(offset / 1000);
    skew.hidden = Math.abs(seconds) < 3;
    if (!skew.hidden) skew.textContent = `This computer is ${duration(Math.abs(seconds))} ${seconds > 0 ? "behind" : "ahead"}`;
  }

  // --- The same words as opsconsole/formats.py.
  const two = (number) => String(number).padStart(2, "0");
  const NBSP = "\u00a0";
  function duration(seconds) {
    seconds = Math.max(0, seconds);
    if (seconds < 9.95) return seconds.toFixed(1) + NBSP + "s";
    const s = Math.round(seconds);
    if (s < 60) return s + NBSP + "s";
    if (s < 3600) return `${Math.floor(s / 60)}m${NBSP}${two(s % 60)}s`;
    if (s < 86400) return `${Math.floor(s / 3600)}h${NBSP}${two(Math.floor(s / 60) % 60)}m`;
    return `${Math.floor(s / 86400)}d${NBSP}${two(Math.floor(s / 3600) % 24)}h`;
  }
  function coarse(seconds) {
    const s = Math.floor(seconds);
    if (s < 60) return s + " s";
    if (s < 3600) return Math.floor(s / 60) + " min";
    if (s < 86400) return Math.floor(s / 3600) + " h";
    const days = Math.floor(s / 86400);
    return days + (days === 1 ? " day" : " days");
  }
  const clockText = (ms) => new Date(ms).toISOString().slice(11, 19);
  const rounded = (seconds) => (seconds < 10 ? Math.floor(seconds) : seconds);
  function phrase(element, at) {
    const past = (now() - at) / 1000;
    if ("since" in element.dataset) return past < 10 ? Math.max(0, Math.floor(past)) + NBSP + "s" : duration(past);
    if ("until" in element.dataset) return past >= 0 ? "a moment" : duration(rounded(Math.ceil(-past)) || 1).replace(".0", "");
    if (Math.abs(past) < 3) return "just now";
    return past > 0 ? coarse(past) + " ago" : "in " + coarse(-past);
  }
  function tick() {
    const clock = $("#clock");
    if (clock) clock.textContent = clockText(now()) + " UTC";
    for (const element of $$("time[data-since], time[data-until], time[data-ago]")) {
      const text = phrase(element, Date.parse(element.dateTime));
      if (element.textContent !== text) element.textContent = text;
    }
  }
  function localTitles() { // the viewer's own time is one hover away
    for (const element of $$("time[datetime]:not([title])")) element.title = new Date(element.dateTime).toLocaleString() + " your time";
  }
  tick();
  localTitles();
  setInterval(() => { if (!document.hidden) tick(); }, 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) tick(); });

  // --- Theme: a cookie, because the server draws it into the page, so that nothing flashes.
  const theme = $("#theme");
  if (theme) {
    theme.hidden = false;
    theme.addEventListener("change", (event) => {
      html.dataset.theme = event.target.value;
      document.cookie = `opsc_theme=${event.target.value}; path=/; max-age=31536000; samesite=lax`;
      window.dispatchEvent(new Event("opsc:theme"));
    });
  }
  for (const element of $$("[data-needs-script]")) element.hidden = false;

  // --- Menus are <details>: close on Esc and on a press elsewhere.
  const openMenus = () => $$("details[data-menu][open]");
  document.addEventListener("pointerdown", (event) => {
    for (const menu of openMenus()) if (!menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of openMenus()) { menu.open = false; $("summary", menu).focus(); }
  });

  // --- Toasts leave after 8 s, unless they are errors, pointed at or focused.
  function arm(toast) {
    if (toast.classList.contains("toast-error")) return;
    const leave = () => (toast.matches(":hover, :focus-within") ? setTimeout(leave, 2000) : toast.remove());
    setTimeout(leave, 8000);
  }
  function toast(text) {
    const box = document.createElement("div");
    box.className = "toast";
    box.dataset.toast = "";
    const words = box.appendChild(document.createElement("p"));
    words.textContent = text;
    const close = box.appendChild(document.createElement("button"));
    close.type = "button"; close.className = "btn btn-ghost btn-small"; close.dataset.dismiss = ""; close.textContent = "Dismiss";
    $("#toasts").append(box);
    arm(box);
  }
  $$("[data-toast]").forEach(arm);
  document.addEventListener("click", (event) => event.target.closest?.("[data-dismiss]")?.closest("[data-toast]")?.remove());

  // --- Keys. None of them starts, promotes, aborts or rolls back anything.
  const KEYS_OFF = "opsc_keys_off";
  const keysOn = $("#keys-on");
  const keysAreOff = () => { try { return localStorage.getItem(KEYS_OFF) === "1"; } catch { return false; } };
  if (keysOn) {
    keysOn.checked = !keysAreOff();
    keysOn.addEventListener("change", () => { try { localStorage.setItem(KEYS_OFF, keysOn.checked ? "0" : "1"); } catch { /* private window */ } });
  }
  const GOTO = new Map($$("#shortcuts [data-goto]").map((element) => [element.dataset.goto, element.dataset.href]));
  let leader = 0;
  function moveRow(step) {
    // On a page of items to answer: the answer of each; elsewhere the link of each row.
    const what = $("[data-item-key]") ? "[data-item-key]" : "a[href]";
    const rows = $$(what === "a[href]" ? "main .table tbody tr" : "main .check-item, #complete").filter((row) => $(what, row) && row.offsetParent);
    if (!rows.length) return false;
    let at = rows.findIndex((row) => row.contains(document.activeElement));
    if (at < 0 && rows.some((row) => row.matches(":target"))) at = rows.findIndex((row) => row.matches(":target")) - step;
    $(what, rows[Math.min(rows.length - 1, Math.max(0, at + step))]).focus();
    return true;
  }
  function onKey(key) {
    if (leader && Date.now() - leader < 1500 && GOTO.has(key)) { location.href = GOTO.get(key); return true; }
    leader = 0;
    if (key === "g") { leader = Date.now(); return true; }
    if (key === "?") { $("#shortcuts").showModal(); return true; }
    if (key === "/") { const field = $("[data-search]") || $("[data-filters] input, [data-filters] select"); field?.focus(); return !!field; }
    if (key === "j") return moveRow(1);
    if (key === "k") return moveRow(-1);
    if (key === "h") { const hold = $("[data-hold-key] :is(button, a)"); hold?.focus(); hold?.scrollIntoView({ block: "center" }); return !!hold; }
    return false;
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || keysAreOff() || $("dialog:modal")) return;
    if (event.target.closest?.("input, select, textarea, [contenteditable]")) return;
    if (onKey(event.key)) event.preventDefault();
  });

  // --- A page that came with a part of what was searched for fetches the whole; its link stays if that fails.
  async function fetchRest(rest) {
    const answer = await fetch(rest.dataset.rest, { headers: { Accept: "text/html" }, credentials: "same-origin" }).catch(() => null);
    const whole = answer?.ok && $("#found", new DOMParser().parseFromString(await answer.text(), "text/html"));
    if (!whole) return;
    $("#found").replaceWith(whole);
    tick(); localTitles();
  }
  const rest = $("[data-rest]");
  if (rest) fetchRest(rest);

  window.opsc = { $, $$, now, learn, duration, clockText, tick, localTitles, toast };
})();
