// Everything works without this. It only keeps one hurried double click from sending a form twice.
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
