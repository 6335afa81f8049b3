// How new texts are announced and shown, and how the pages look in each of the colours that a device may
// ask for; `look.mjs` says what is looked at on every page.
//
// Reads from the environment beside what that reads: EMAIL with PASSWORD; REFERENCE, of a message; CALLBACKS and TOKEN, where texts
// are sent to.

import assert from "node:assert/strict";
import { everywhere } from "./look.mjs";

const { BASE_URL, EMAIL, PASSWORD, REFERENCE, CALLBACKS, TOKEN } = process.env;
let sent = 0;

const send = async (from) => {
  const body = JSON.stringify({ id: `live-${(sent += 1)}`, source_number: from, destination_number: "07860039001", message: "Hello" });
  const answer = await fetch(CALLBACKS, { method: "POST", headers: { authorization: `Bearer ${TOKEN}` }, body });
  assert.equal(answer.status, 200);
};

await everywhere(async ({ page, javaScriptEnabled, look, heading, forgive }) => {
  const button = (name) => page.getByRole("button", { name, exact: true });
  const number = `4477009003${String(sent).padStart(2, "0")}`;
  if (javaScriptEnabled) await page.clock.install();
  await page.goto("/messages");
  await page.getByLabel("Email address").fill(EMAIL);
  await page.getByLabel("Password").fill(PASSWORD);
  await button("Sign in").click();
  assert.equal(await heading(), "Received text messages");

  await send(number);
  const offer = page.getByRole("link", { name: "Show new messages" });
  const inbox = page.getByRole("link", { name: /^Received texts/ });
  if (!javaScriptEnabled) {
    assert.ok(!(await offer.isVisible()));
    await page.reload();
  } else {
    const before = await inbox.innerText();
    const heading = await page.locator("h1").boundingBox();
    await page.clock.fastForward(16_000);
    await offer.waitFor();
    assert.equal(await page.getByRole("status").filter({ hasText: "new messages" }).innerText(), "There are new messages in 1 conversation.");
    assert.notEqual(await inbox.innerText(), before, "the menu counts it");
    assert.deepEqual(await page.locator("h1").boundingBox(), heading, "nothing moves");
    await look("inbox with new messages");
    await offer.click();
  }
  await page.getByRole("link", { name: number, exact: true }).click();
  assert.equal(await heading(), `Conversation with ${number}`);
  await send(number);
  if (javaScriptEnabled) {
    await page.clock.fastForward(16_000);
    await offer.waitFor();
    await look("conversation with new messages");
    const note = page.getByLabel("Add a note");
    await note.fill("Half a note");
    assert.match(await offer.innerText(), /opens in new tab/, "what is being written is not lost");
    await note.fill("");
    assert.doesNotMatch(await offer.innerText(), /opens in new tab/);
    await page.getByRole("contentinfo").getByRole("link").last().focus();
    assert.ok(await page.evaluate(() => {
      const [focus, over] = [document.activeElement, document.getElementById("arrivals")].map((at) => at.getBoundingClientRect());
      return focus.bottom <= over.top;
    }), "what has the focus is not hidden");
    await offer.click();
  } else {
    await page.reload();
  }
  assert.equal(await page.locator(".app-message").count(), 2);
  assert.ok(!(await offer.isVisible()), "nothing is new any more");

  // In each of the colours that a device may ask for: axe needs JavaScript, and the widest and the narrowest tell enough.
  if (!javaScriptEnabled) return;
  const places = [`/receipts?q=${REFERENCE}`, "/receipts", "/messages", new URL(page.url()).pathname, "/account", "/help/statuses", "/nothing-here"];
  for (const media of [
    { colorScheme: "dark" },
    { forcedColors: "active" },
    { colorScheme: "dark", contrast: "more" },
    { contrast: "more" },
    { reducedMotion: "reduce" },
  ]) {
    const named = Object.entries(media).flat().join(" ");
    await page.emulateMedia({ colorScheme: null, forcedColors: null, contrast: null, reducedMotion: null, ...media });
    for (const place of places) {
      await page.goto(place);
      if (place === "/nothing-here") forgive(404);
      await look(`${place.replaceAll(/[/?=]/g, " ").trim().slice(0, 14)} ${named}`, page, [1280, 320]);
    }
  }

  // A window of 1280 px at a zoom of 200% is half as wide.
  await page.emulateMedia({ colorScheme: null, forcedColors: null, contrast: null, reducedMotion: null });
  await page.setViewportSize({ width: 640, height: 400 });
  for (const place of places.slice(0, 4)) {
    await page.goto(place);
    await look(`${place.replaceAll(/[/?=]/g, " ").trim().slice(0, 14)} zoomed in`);
  }
});
