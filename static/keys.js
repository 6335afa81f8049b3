// Keyboard shortcuts, for whoever switched them on in this browser, and never while somebody types.
{
  const KEPT = "counterfoil-shortcuts";
  const IN_A_ROW = SECOND;
  const SHORTCUTS = [
    ["/", "Go to the search box"],
    ["g i", "Go to received texts"],
    ["g r", "Go to receipts"],
    ["j", "Go to the next row"],
    ["k", "Go to the row before"],
    ["?", "Show this list"],
  ];

  // A browser may be set to keep nothing.
  const areOn = () => {
    try {
      return localStorage.getItem(KEPT) === "on";
    } catch {
      return false;
    }
  };
  const switchTo = (on) => {
    try {
      if (on) localStorage.setItem(KEPT, "on");
      else localStorage.removeItem(KEPT);
    } catch {
      return false;
    }
    return areOn() === on;
  };

  const made = (name, className, text = "") => {
    const element = document.createElement(name);
    element.className = className;
    element.textContent = text;
    return element;
  };

  const list = () => {
    const list = made("dl", "govuk-summary-list");
    for (const [keys, words] of SHORTCUTS) {
      const row = made("div", "govuk-summary-list__row");
      const key = made("dt", "govuk-summary-list__key");
      key.append(...keys.split(" ").flatMap((name, n) => [n ? " then " : "", made("kbd", "app-key", name)]));
      row.append(key, made("dd", "govuk-summary-list__value", words));
      list.append(row);
    }
    return list;
  };

  let dialog;
  const showList = () => {
    if (!dialog) {
      dialog = made("dialog", "app-session-ends");
      const heading = made("h2", "govuk-heading-m", "Keyboard shortcuts");
      heading.id = "shortcuts-heading";
      dialog.setAttribute("aria-labelledby", heading.id);
      const close = made("button", "govuk-button app-session-ends__button", "Close");
      close.type = "button";
      close.addEventListener("click", () => dialog.close());
      dialog.append(heading, list(), close);
      document.body.append(dialog);
    }
    if (!dialog.open) dialog.showModal();
  };

  const toRow = (step) => {
    const links = [...document.querySelectorAll("main tbody tr")].map((row) => row.querySelector("a")).filter(Boolean);
    const row = document.activeElement.closest("tr");
    const now = links.findIndex((link) => row && row.contains(link));
    const link = links[now < 0 ? (step > 0 ? 0 : links.length - 1) : now + step];
    if (link) link.focus();
  };

  const DO = {
    "/": () => document.getElementById("q")?.focus(),
    "g i": () => location.assign("/messages"),
    "g r": () => location.assign("/receipts"),
    j: () => toRow(1),
    k: () => toRow(-1),
    "?": showList,
  };

  let before = { key: "", at: 0 };
  document.addEventListener("keydown", (event) => {
    const types = event.target.closest?.("input, select, textarea, [contenteditable]");
    const open = document.querySelector("dialog[open]");
    if (types || open || event.ctrlKey || event.altKey || event.metaKey || event.isComposing || !areOn()) return;
    const two = `${before.key} ${event.key}`;
    const perform = (Date.now() - before.at < IN_A_ROW && DO[two]) || DO[event.key];
    before = { key: event.key, at: Date.now() };
    if (!perform) return;
    event.preventDefault();
    before.key = "";
    perform();
  });

  const place = document.getElementById("shortcuts");
  if (place) {
    const said = made("p", "govuk-body");
    said.setAttribute("role", "status");
    const button = made("button", "govuk-button");
    button.type = "button";
    const name = () => (button.textContent = areOn() ? "Switch off keyboard shortcuts" : "Switch on keyboard shortcuts");
    button.addEventListener("click", () => {
      const wanted = !areOn();
      const done = switchTo(wanted);
      name();
      if (!done) said.textContent = "Your browser could not keep that. Check whether it may store data for this site.";
      else said.textContent = wanted ? "Keyboard shortcuts are on in this browser." : "Keyboard shortcuts are off in this browser.";
    });
    name();
    place.replaceChildren(list(), button, said);
  }
}
