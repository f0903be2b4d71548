// Passkeys: asks the server for the question, the browser for the answer, and sends the form with it.
// Inside a form: <div data-passkey="get" or "create" data-options="address" data-ask='{"json": "body"}'> with hidden fields challenge
// and assertion (or credential), a button [data-passkey-go] and a line [data-passkey-note]. Without this script codes still work.
"use strict";
(() => {
  const { $, $$ } = window.opsc;
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (char) => char.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const known = (list) => (list || []).map((item) => ({ ...item, id: bytes(item.id) }));

  async function ask(form, box) {
    const answer = await fetch(box.dataset.options, {
      method: "POST",
      credentials: "same-origin",
      headers: { Accept: "application/json", "Content-Type": "application/json", "X-CSRFToken": $("[name=csrfmiddlewaretoken]", form).value },
      body: box.dataset.ask || "{}",
    });
    const kind = answer.headers.get("Content-Type") || "";
    const body = kind.includes("json") ? await answer.json() : { detail: kind.startsWith("text/plain") ? await answer.text() : "" };
    if (!answer.ok || !body.public_key) throw new Error(body.detail || "The console did not answer as expected. Load the page again.");
    return body;
  }
  async function create(options) {
    const made = await navigator.credentials.create({ publicKey: {
      ...options, challenge: bytes(options.challenge), user: { ...options.user, id: bytes(options.user.id) }, excludeCredentials: known(options.excludeCredentials),
    } });
    const { clientDataJSON, attestationObject } = made.response;
    return { id: made.id, rawId: text(made.rawId), type: made.type, response: {
      clientDataJSON: text(clientDataJSON), attestationObject: text(attestationObject), transports: made.response.getTransports?.() || [],
    } };
  }
  async function get(options) {
    const shown = await navigator.credentials.get({ publicKey: { ...options, challenge: bytes(options.challenge), allowCredentials: known(options.allowCredentials) } });
    const { clientDataJSON, authenticatorData, signature, userHandle } = shown.response;
    return { id: shown.id, rawId: text(shown.rawId), type: shown.type, response: {
      clientDataJSON: text(clientDataJSON), authenticatorData: text(authenticatorData), signature: text(signature), userHandle: userHandle?.byteLength ? text(userHandle) : null,
    } };
  }
  function words(error) {
    if (error.name === "NotAllowedError") return "Nothing was confirmed: it was cancelled, took too long, or no passkey of this console is here. Try again.";
    if (error.name === "InvalidStateError") return "This device holds a passkey of yours for this console already.";
    if (error.name === "SecurityError") return "Passkeys do not work at this address.";
    if (error instanceof TypeError) return "The console does not answer. Check the connection, then try again.";
    return error.message;
  }
  async function go(button) {
    const form = button.form, box = button.closest("[data-passkey]"), note = $("[data-passkey-note]", box);
    const tell = (what) => { note.textContent = what; note.hidden = false; window.opsc.say?.(what, 0); };
    if (form.hasAttribute("aria-busy") || !form.reportValidity()) return;
    button.setAttribute("aria-busy", "true");
    tell("Waiting for your passkey: follow the browser.");
    try {
      const question = await ask(form, box);
      const creates = box.dataset.passkey === "create";
      const answer = await (creates ? create : get)(question.public_key);
      form.elements.challenge.value = question.challenge;
      form.elements[creates ? "credential" : "assertion"].value = JSON.stringify(answer);
      tell("Passkey answered. One moment.");
      form.requestSubmit();
    } catch (error) {
      tell(words(error));
    } finally {
      button.removeAttribute("aria-busy");
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-passkey-go]");
    if (button) { event.preventDefault(); go(button); }
  });
  const usable = !!window.PublicKeyCredential && !!navigator.credentials;
  for (const button of $$("[data-passkey-go]")) button.hidden = !usable;
  for (const line of $$("[data-passkey-missing]")) line.hidden = usable;
  for (const button of $$("[data-print]")) { button.hidden = false; button.addEventListener("click", () => window.print()); }
})();
