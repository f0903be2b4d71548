// Acts: dialogs, hold buttons, forms that cannot be sent twice, suggested reasons, copy buttons, filters.
"use strict";
(() => {
  const { $, $$ } = window.opsc;
  const HOLD = 1500, AGAIN_MIN = 800, AGAIN_MAX = 10_000;
  const say = (text, urgent = false) => window.opsc.say?.(text, 0, urgent);

  // --- Dialogs. Without this script their links lead to ?confirm=<id>, where the server draws them open.
  function open(dialog, opener) {
    if (dialog.open) dialog.close();
    dialog.showModal();
    const first = $("[data-first]", dialog) || $("[autofocus], textarea, input:not([type=hidden]), select", dialog) || $("button", dialog);
    first?.focus();
    dialog.addEventListener("close", () => { reset(dialog); if (opener?.isConnected) opener.focus(); }, { once: true });
  }
  function reset(dialog) {
    $$("[data-hold]", dialog).forEach((button) => tell(button, "rest"));
  }
  document.addEventListener("click", (event) => {
    const target = event.target.closest?.("[data-dialog], [data-close], [data-preset], [data-copy], [aria-disabled='true']");
    if (!target) return;
    if (target.matches("[aria-disabled='true']")) { event.preventDefault(); return; }
    if (target.matches("[data-dialog]")) {
      const dialog = document.getElementById(target.dataset.dialog);
      if (dialog) { event.preventDefault(); target.closest("details[data-menu]")?.removeAttribute("open"); open(dialog, target); }
    } else if (target.matches("[data-close]")) {
      const dialog = target.closest("dialog:modal");
      if (dialog) { event.preventDefault(); dialog.close(); }
    } else if (target.matches("[data-preset]")) {
      const field = document.getElementById(target.parentElement.dataset.presets);
      field.value = target.textContent.trim();
      field.dispatchEvent(new Event("input", { bubbles: true }));
      field.focus();
    } else if (target.matches("[data-copy]")) copy(target);
  });
  document.addEventListener("click", (event) => { // a press on the backdrop closes, unless something was typed
    if (event.target.matches?.("dialog:modal") && !$$("textarea", event.target).some((field) => field.value !== field.defaultValue)) {
      const box = event.target.getBoundingClientRect();
      if (event.clientX < box.left || event.clientX > box.right || event.clientY < box.top || event.clientY > box.bottom) event.target.close();
    }
  });
  async function copy(button) {
    const text = $("code", button.closest(".code")).textContent;
    try { await navigator.clipboard.writeText(text); window.opsc.toast("Copied."); } catch { window.opsc.toast("The browser did not allow copying: select the text instead."); }
  }

  // --- Hold buttons: 1.5 s with the pointer, Space or Enter. A bare click (assistive technology) must come twice.
  let holding = null;
  const rest = new WeakMap(); // hint element -> its first text
  function tell(button, what) {
    const hint = $("[data-hold-hint]", button.closest(".hold"));
    if (!rest.has(hint)) rest.set(hint, hint.textContent);
    const words = { rest: rest.get(hint), early: "Released early: nothing was done. Keep it pressed for 1.5 s.", again: "Press once more within 10 s to do it.", sent: "Asked for. Waiting for the answer." }[what] || what;
    hint.textContent = words;
    hint.classList.toggle("told", what !== "rest");
    if (what !== "rest") say(words);
  }
  function begin(button, how) {
    if (holding || button.getAttribute("aria-disabled") === "true" || button.form?.hasAttribute("aria-busy")) return;
    if (button.form && !button.form.reportValidity()) return;
    button.classList.add("holding");
    const started = performance.now();
    const label = $("span:not(.hold-fill)", button), words = label.textContent;
    const count = setInterval(() => { label.textContent = `Keep holding, ${Math.max(0, (HOLD - (performance.now() - started)) / 1000).toFixed(1)} s`; }, 100);
    const done = setTimeout(() => { end(true); }, HOLD);
    holding = { button, how, count, done, label, words };
    button.dataset.held = "1"; // the click that follows is not a bare one
  }
  function end(complete) {
    if (!holding) return;
    const { button, count, done, label, words } = holding;
    holding = null;
    clearInterval(count);
    clearTimeout(done);
    label.textContent = words;
    button.classList.remove("holding");
    if (complete) { tell(button, "sent"); button.form.requestSubmit(); } else tell(button, "early");
  }
  const holdOf = (event) => event.target.closest?.("[data-hold]");
  document.addEventListener("pointerdown", (event) => {
    const button = holdOf(event);
    if (button && event.button === 0) { button.setPointerCapture?.(event.pointerId); begin(button, "pointer"); }
  });
  for (const kind of ["pointerup", "pointercancel"]) document.addEventListener(kind, () => { if (holding?.how === "pointer") end(false); });
  document.addEventListener("pointermove", (event) => {
    if (holding?.how !== "pointer") return;
    const box = holding.button.getBoundingClientRect();
    if (event.clientX < box.left - 8 || event.clientX > box.right + 8 || event.clientY < box.top - 8 || event.clientY > box.bottom + 8) end(false);
  });
  document.addEventListener("keydown", (event) => {
    const button = holdOf(event);
    if (!button || (event.key !== " " && event.key !== "Enter")) return;
    event.preventDefault();
    if (!event.repeat) begin(button, event.key);
  });
  document.addEventListener("keyup", (event) => {
    if (holdOf(event) && (event.key === " " || event.key === "Enter")) event.preventDefault();
    if (holding && holding.how === event.key) end(false);
  });
  window.addEventListener("blur", () => end(false));
  document.addEventListener("contextmenu", (event) => { if (holdOf(event)) event.preventDefault(); });
  document.addEventListener("click", (event) => {
    const button = holdOf(event);
    if (!button) return;
    event.preventDefault();
    if (button.getAttribute("aria-disabled") === "true") return;
    if (button.dataset.held) { delete button.dataset.held; return; }
    const last = Number(button.dataset.armed || 0), passed = Date.now() - last;
    if (passed < AGAIN_MIN) return;
    if (button.form && !button.form.reportValidity()) return;
    if (passed <= AGAIN_MAX) { delete button.dataset.armed; tell(button, "sent"); button.form.requestSubmit(); return; }
    button.dataset.armed = Date.now();
    tell(button, "again");
    setTimeout(() => { if (button.isConnected && button.dataset.armed) { delete button.dataset.armed; tell(button, "rest"); } }, AGAIN_MAX);
  });

  // --- A form is sent once; Enter in a field of a hold form does not send it.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    if (form.matches("[data-kill]")) { event.preventDefault(); stopTrading(form); return; }
    const button = event.submitter || $("button[type=submit]", form);
    if (form.hasAttribute("aria-busy") || (event.submitter && event.submitter.getAttribute("aria-disabled") === "true")) { event.preventDefault(); return; }
    if (event.submitter?.matches("[data-hold]")) { event.preventDefault(); return; }
    form.setAttribute("aria-busy", "true");
    button?.setAttribute("aria-busy", "true");
  });
  window.addEventListener("pageshow", () => { // back from the next page: forms can be sent again
    for (const form of $$("form[aria-busy]")) { form.removeAttribute("aria-busy"); $$("[aria-busy]", form).forEach((element) => element.removeAttribute("aria-busy")); }
  });

  // --- The kill switch: a plain POST that needs no socket. What it would do now is asked while its dialog is open.
  const kill = document.getElementById("kill"), killForm = kill && $("form", kill);
  function aimKill() {
    const chosen = $("input[name=environment]:checked", killForm);
    killForm.action = chosen.dataset.action;
    $("[data-hold] span:not(.hold-fill)", killForm).textContent = `Hold 1.5 s to stop ${chosen.value}`;
  }
  let counting = 0;
  async function countKill() {
    clearTimeout(counting);
    if (!kill.open) return;
    try {
      const answer = await fetch(killForm.dataset.now, { headers: { Accept: "application/json" }, credentials: "same-origin", signal: AbortSignal.timeout(3000) });
      if (answer.ok) for (const [name, does] of Object.entries(await answer.json())) $$(`[data-kill-does="${name}"]`).forEach((element) => { element.textContent = does; });
    } catch { /* the text says how old it is */ }
    counting = setTimeout(countKill, 2000);
  }
  async function stopTrading(form) {
    if (form.hasAttribute("aria-busy")) return;
    form.setAttribute("aria-busy", "true");
    const where = $("input[name=environment]:checked", form).value, button = $("[data-hold]", form), problem = $("[data-kill-problem]", form);
    const show = (words) => { problem.hidden = false; $("p", problem).textContent = words; $("code", problem).textContent = `opsctl emergency-stop ${where}`; say(words, true); };
    problem.hidden = true;
    const slow = setTimeout(() => show("The console has not answered yet. It may have stopped trading all the same. Go on at the machine, without the console:"), 3000);
    const words = { 401: "Your session has ended: sign in again.", 403: `You may not stop ${where}.`, 503: "The console's database does not answer, so it cannot tell who you are." };
    try {
      const answer = await fetch(form.action, { method: "POST", body: new FormData(form), headers: { Accept: "application/json" }, credentials: "same-origin" });
      const json = answer.headers.get("Content-Type")?.includes("json") ? await answer.json() : {};
      if (answer.status === 202) { location.assign(json.url); return; }
      show(`Not stopped. ${json.detail || words[answer.status] || `The console answered ${answer.status}.`} Without the console:`);
    } catch { show("The console does not answer. It may have stopped trading all the same. Without the console, at the machine:"); }
    finally { clearTimeout(slow); }
    form.removeAttribute("aria-busy");
    tell(button, "rest");
  }
  if (kill) {
    killForm.addEventListener("change", aimKill);
    aimKill(); // the browser may have kept another choice
    new MutationObserver(() => { if (kill.open) countKill(); }).observe(kill, { attributeFilter: ["open"] });
    document.addEventListener("keydown", (event) => { // opens the dialog and never presses; also from within a field
      if (!event.altKey || !event.shiftKey || event.ctrlKey || event.metaKey || event.code !== "KeyK" || event.repeat) return;
      event.preventDefault();
      if (!kill.open) open(kill, document.activeElement);
    });
  }

  // --- Notes keep themselves a second after the last key; "was" says which notes this page saw, so nobody's words are lost.
  const saving = new WeakMap(); // form -> timer, or the request under way
  async function keep(form) {
    saving.delete(form);
    if (form.hasAttribute("aria-busy")) return;
    const field = $("textarea", form), note = $("[data-saved]", form), text = field.value;
    try {
      const answer = await fetch(form.action, { method: "POST", body: new FormData(form), headers: { Accept: "application/json" }, credentials: "same-origin" });
      const json = answer.headers.get("Content-Type")?.includes("json") ? await answer.json() : {};
      if (!answer.ok) { note.textContent = `Not kept. ${json.detail || `The console answered ${answer.status}.`}`; say(note.textContent, true); return; }
      field.defaultValue = text;
      form.elements.was.value = json.was;
      note.textContent = `Kept ${json.at} UTC`;
    } catch { note.textContent = "Not kept: the console does not answer. It is tried again with the next key."; }
  }
  document.addEventListener("input", (event) => {
    const form = event.target.closest?.("form[data-autosave]");
    if (!form) return;
    clearTimeout(saving.get(form));
    saving.set(form, setTimeout(() => keep(form), 1000));
  });

  // --- Filters send themselves when a choice is made with the pointer. With the keyboard each arrow is a choice: there the button sends.
  let byKey = false;
  document.addEventListener("keydown", () => { byKey = true; }, true);
  document.addEventListener("pointerdown", () => { byKey = false; }, true);
  document.addEventListener("change", (event) => {
    if (!byKey && event.target.matches?.("[data-filters] select")) event.target.form.requestSubmit();
  });

  function upgrade(root) {
    for (const element of $$("[data-presets], [data-copy]", root)) element.hidden = false;
    for (const dialog of $$("dialog[open]:not(:modal)", root)) { dialog.open = false; open(dialog); }
    for (const link of $$("a[data-dialog]", root)) link.setAttribute("aria-haspopup", "dialog");
  }
  window.opsc.upgrade = upgrade;
  upgrade(document);
  $(".error-summary[tabindex]")?.focus();
})();
