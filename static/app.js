// Everything but passkeys works without this. It keeps one hurried double click from sending a form twice, warns before a session ends,
// and copies what is shown once. `live.js` and `keys.js` are sent behind it, as one script.
"use strict";

const PAUSE = 1000;

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
  setTimeout(() => delete form.dataset.sent, PAUSE);
});

// A session that ends takes nobody by surprise: five minutes before, one may make it last, and when it has ended one signs in
// elsewhere and comes back to what was typed. What other tabs do counts too, so the server is asked before anything is said.
const SECOND = 1000;
const WARN = 5 * 60 * SECOND;
const ASK_AGAIN = 15 * SECOND;

function watchSession(soon) {
  const atLast = document.getElementById("session-ends-at-last");
  const ended = document.getElementById("session-has-ended");
  const dialogs = [soon, atLast, ended];
  const { email } = soon.dataset;
  let ends = Date.now() + soon.dataset.left * SECOND;
  let isExtended = soon.dataset.extends === "true";
  let asked = 0;
  let asking = false;
  let closed = false;

  const ask = async (method) => {
    asked = Date.now();
    asking = true;
    try {
      const answer = await fetch("/session", { method, cache: "no-store" });
      if (!answer.ok) return false;
      const session = await answer.json();
      // Somebody else has signed in with this browser: what is on this page is not theirs to see.
      if (session.email && session.email !== email) location.reload();
      ends = Date.now() + session.left * SECOND;
      isExtended = session.extends;
      return true;
    } catch {
      return false;
    } finally {
      asking = false;
    }
  };

  const show = (wanted) => {
    for (const dialog of dialogs) {
      if (dialog !== wanted && dialog.open) dialog.close();
    }
    if (wanted && !wanted.open) wanted.showModal();
  };

  const say = (dialog, left) => {
    const minutes = Math.ceil(left / (60 * SECOND));
    const words = `You will be signed out in ${minutes === 1 ? "less than 1 minute" : `${minutes} minutes`}.`;
    const place = dialog.querySelector("[data-when]");
    if (place.textContent !== words) place.textContent = words;
  };

  const look = async () => {
    if (asking) return;
    if (ends - Date.now() > WARN) {
      closed = false;
      return show(null);
    }
    // When it has ended there is nothing to see until somebody comes back to this tab.
    if (!asked || (!ended.open && Date.now() - asked > ASK_AGAIN)) await ask("GET");
    const left = ends - Date.now();
    if (left > WARN) return show(null);
    if (left <= 0) return show(ended);
    const dialog = isExtended ? soon : atLast;
    say(dialog, left);
    if (!closed || isExtended) show(dialog);
  };

  const stay = async () => {
    const answered = await ask("POST");
    if (!answered) soon.querySelector("[data-when]").textContent = "That did not work. Try again.";
    await look();
  };

  soon.querySelector("[data-stay]").addEventListener("click", stay);
  soon.addEventListener("cancel", (event) => {
    event.preventDefault();
    stay();
  });
  atLast.querySelector("[data-close]").addEventListener("click", () => atLast.close());
  atLast.addEventListener("close", () => (closed = true));
  ended.addEventListener("cancel", (event) => event.preventDefault());
  const comeBack = () => {
    if (ends - Date.now() > WARN) return;
    asked = 0;
    look();
  };
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && comeBack());
  window.addEventListener("focus", comeBack);
  setInterval(look, SECOND);
}

const endsSoon = document.getElementById("session-ends-soon");
if (endsSoon && endsSoon.showModal) watchSession(endsSoon);

// What is shown once has a button below it, and what is copied often a small one beside it; in a heading or a link it stands after that.
if (navigator.clipboard) {
  for (const once of document.querySelectorAll("[data-copy]")) {
    const [button, said] = [document.createElement("button"), document.createElement("p")];
    const isOnce = once.classList.contains("app-once");
    button.type = "button";
    button.className = isOnce ? "govuk-button govuk-button--secondary" : "app-link-button app-copy";
    button.textContent = once.dataset.copy;
    said.className = isOnce ? "govuk-body" : "govuk-body-s app-copy__said";
    said.setAttribute("role", "status");
    button.addEventListener("click", async () => {
      const copied = await navigator.clipboard.writeText(once.textContent.trim()).then(() => true, () => false);
      said.textContent = copied ? "Copied." : "It could not be copied. Select it and copy it by hand.";
    });
    (once.closest("h1, a") || once).after(button, said);
  }
}

// Passkeys. A form says what the authenticator is to be asked, and takes what it answers.
const toBytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (sign) => sign.charCodeAt(0));
const toText = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const named = (credentials) => credentials.map(({ type, id }) => ({ type, id: toBytes(id) }));

async function makePasskey(asked) {
  const publicKey = {
    ...asked,
    challenge: toBytes(asked.challenge),
    user: { ...asked.user, id: toBytes(asked.user.id) },
    excludeCredentials: named(asked.excludeCredentials),
  };
  const { rawId, response } = await navigator.credentials.create({ publicKey });
  return { credential: rawId, "client-data": response.clientDataJSON, "authenticator-data": response.getAuthenticatorData() };
}

async function usePasskey(asked) {
  const publicKey = { ...asked, challenge: toBytes(asked.challenge), allowCredentials: named(asked.allowCredentials) };
  const { rawId, response } = await navigator.credentials.get({ publicKey });
  return {
    credential: rawId,
    "client-data": response.clientDataJSON,
    "authenticator-data": response.authenticatorData,
    signature: response.signature,
    "user-handle": response.userHandle || new ArrayBuffer(0),
  };
}

const PASSKEY_PROBLEMS = {
  NotAllowedError: "The passkey was not used: it was cancelled, or took too long. Try again",
  InvalidStateError: "One of your passkeys is kept there already. Choose another place",
  SecurityError: "Passkeys do not work at this address. Open it at its public address",
};

function sayProblem(words) {
  for (const before of document.querySelectorAll(".govuk-error-summary")) before.remove();
  const summary = document.getElementById("passkey-problem").content.firstElementChild.cloneNode(true);
  summary.querySelector("a").textContent = words;
  const heading = document.querySelector("h1");
  heading.parentNode.insertBefore(summary, heading);
  if (!document.title.startsWith("Error: ")) document.title = `Error: ${document.title}`;
  summary.focus();
}

function offerPasskey(form, asked, perform) {
  let isWaiting = false;
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (isWaiting) return;
    isWaiting = true;
    try {
      const answer = await perform(JSON.parse(asked));
      for (const [name, value] of Object.entries(answer)) form.elements[name].value = toText(value);
      form.submit();
    } catch (error) {
      sayProblem(PASSKEY_PROBLEMS[error.name] || "Your browser could not use a passkey. Try again, or sign in another way");
    }
    isWaiting = false;
  });
}

if (window.PublicKeyCredential) {
  for (const form of document.querySelectorAll("[data-needs-passkeys]")) form.hidden = false;
  for (const words of document.querySelectorAll("[data-without-passkeys]")) words.hidden = true;
  for (const form of document.querySelectorAll("[data-passkey]")) offerPasskey(form, form.dataset.passkey, usePasskey);
  for (const form of document.querySelectorAll("[data-new-passkey]")) offerPasskey(form, form.dataset.newPasskey, makePasskey);
}
