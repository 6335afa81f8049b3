// A caseworker's day with the keyboard alone, and the shortcuts that they may switch on; `look.mjs` says what is looked at on every
// page.
//
// Reads from the environment beside what that reads: EMAIL with PASSWORD; REFERENCE, of a message; NUMBER, which a text came from.

import assert from "node:assert/strict";
import { everywhere } from "./look.mjs";

const { EMAIL, PASSWORD, REFERENCE, NUMBER } = process.env;

await everywhere(async ({ page, javaScriptEnabled, look, heading }) => {
  const press = async (...keys) => {
    for (const key of keys) await page.keyboard.press(key);
  };
  const focused = () => page.evaluate(() => document.activeElement.innerText || document.activeElement.name);
  // Goes on with Tab until it stands there, and sees that the focus shows.
  const tabTo = async (words) => {
    for (let n = 0; n < 80; n += 1) {
      await press("Tab");
      const at = await focused();
      if (typeof at === "string" && at.trim().startsWith(words)) {
        const box = await page.locator(":focus").boundingBox();
        assert.ok(box && box.width > 0 && box.height > 0, `${words} is seen`);
        return;
      }
    }
    assert.fail(`Tab does not lead to ${words}`);
  };
  const follow = async (words) => {
    await tabTo(words);
    await Promise.all([page.waitForNavigation(), press("Enter")]);
  };

  await page.goto("/receipts");
  await tabTo("email");
  await page.keyboard.type(EMAIL);
  await tabTo("password");
  await page.keyboard.type(PASSWORD);
  await Promise.all([page.waitForNavigation(), press("Enter")]);
  assert.equal(await heading(), "Newest receipts");
  await tabTo("Skip to main content");
  await press("Enter");
  assert.equal(await page.locator(":focus").getAttribute("id"), "main-content");

  await page.goto("/receipts");
  await tabTo("q");
  await page.keyboard.type(REFERENCE);
  await Promise.all([page.waitForNavigation(), press("Enter")]);
  await follow(REFERENCE);
  await follow("Back to");
  await follow("Received texts");
  await follow(NUMBER);
  assert.equal(await heading(), `Conversation with ${NUMBER}`);
  await tabTo("note");
  await page.keyboard.type("Called? /gi");
  await follow("Add note");
  assert.match(await page.locator("main").innerText(), /Called\? \/gi/);

  // Letters do nothing until somebody switches them on.
  await press("g", "i", "/", "?");
  assert.equal(await heading(), `Conversation with ${NUMBER}`);
  await follow("Keyboard shortcuts");
  await look("keyboard shortcuts");
  if (!javaScriptEnabled) {
    assert.match(await page.locator("main").innerText(), /Shortcuts need JavaScript/);
    return;
  }
  await tabTo("Switch on keyboard shortcuts");
  await press("Enter");
  assert.match(await page.locator("main").getByRole("status").innerText(), /are on in this browser/);
  await look("keyboard shortcuts switched on");
  await Promise.all([page.waitForNavigation(), press("g", "r")]);
  assert.equal(await heading(), "Newest receipts");
  const row = () => page.evaluate(() => [...document.querySelectorAll("main tbody tr")].findIndex((row) => row.contains(document.activeElement)));
  await press("j");
  assert.equal(await row(), 0);
  await press("j", "j", "k");
  assert.equal(await row(), 1);
  await press("?");
  assert.ok(await page.getByRole("dialog", { name: "Keyboard shortcuts" }).isVisible());
  await look("list of keyboard shortcuts");
  await press("g", "i", "Escape");
  assert.equal(await page.locator("dialog[open]").count(), 0);
  await press("/");
  assert.equal(await focused(), "q");
  await page.keyboard.type("gi?jk/");
  assert.equal(await page.locator("#q").inputValue(), "gi?jk/", "nothing happens while one types");
  await page.locator("h1").click();
  await press("Control+g", "i");
  assert.equal(await heading(), "Newest receipts");
  await page.waitForTimeout(1100);
  await press("g");
  await Promise.all([page.waitForNavigation(), press("i")]);
  assert.equal(await heading(), "Received text messages");
}, [1280, 320]);
