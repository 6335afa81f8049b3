// Everything works without this. It keeps one hurried double click from sending a form twice, and copies what is shown once.
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

if (navigator.clipboard) {
  for (const once of document.querySelectorAll("[data-copy]")) {
    const [button, said] = [document.createElement("button"), document.createElement("p")];
    button.type = "button";
    button.className = "govuk-button govuk-button--secondary";
    button.textContent = once.dataset.copy;
    said.className = "govuk-body";
    said.setAttribute("role", "status");
    button.addEventListener("click", async () => {
      const copied = await navigator.clipboard.writeText(once.textContent.trim()).then(() => true, () => false);
      said.textContent = copied ? "Copied." : "It could not be copied. Select it and copy it by hand.";
    });
    once.after(button, said);
  }
}
