// How a flag is met in the inbox, a manager changes the list of phrases and tries it, and an admin sets what holds for everybody;
// `look.mjs` says what is looked at on every page.
//
// Reads from the environment beside what that reads: EMAIL, who may all that, and PASSWORD.

import assert from "node:assert/strict";
import { everywhere } from "./look.mjs";

const { EMAIL, PASSWORD } = process.env;

await everywhere(async ({ page, look, heading }) => {
  const press = (name) => page.getByRole("button", { name, exact: true }).click();
  const main = () => page.locator("main").innerText();
  await page.goto("/messages");
  await page.getByLabel("Email address").fill(EMAIL);
  await page.getByLabel("Password").fill(PASSWORD);
  await press("Sign in");
  assert.match(await main(), /Possible danger because it says ‘suicide’/);
  await page.getByLabel("Flag", { exact: true }).selectOption("Possible danger");
  await press("Apply filters");
  await look("inbox with flags");
  await page.getByRole("link", { name: "447700900123", exact: true }).click();
  assert.match(await main(), /Possible danger because it says ‘suicide’/);
  await look("conversation with a flag");

  await page.getByRole("link", { name: "Flags", exact: true }).click();
  assert.equal(await heading(), "Flags on received text messages");
  await page.getByText("How to write phrases").click();
  await look("flags");
  await page.getByLabel("Text message", { exact: true }).fill("Please stop");
  await press("Try this text");
  assert.match(await main(), /Asks to stop because it says ‘stop’/);
  await look("flags tried");
  const list = await page.getByLabel("Phrases", { exact: true }).inputValue();
  await page.getByLabel("Phrases", { exact: true }).fill("hello\n");
  await press("Save list");
  await page.getByRole("link", { name: /^Line 1 must stand below a heading/ }).click();
  assert.equal(await page.locator(":focus").getAttribute("id"), "list");
  await look("flags refused");
  await page.getByLabel("Phrases", { exact: true }).fill(list);
  await press("Save list");
  assert.match(await main(), /List saved/);
  await look("flags saved");

  await page.getByRole("link", { name: "Settings", exact: true }).click();
  await page.getByLabel("Notice on every page").fill(`${"A long word ".repeat(20)}${"x".repeat(59)}`);
  await page.getByLabel("When received texts are read").fill("Texts are read Monday to Friday, 9am to 5pm");
  await page.getByLabel("Minutes until").fill("soon");
  await press("Save settings");
  await page.getByRole("link", { name: /^The minutes must be/ }).click();
  assert.equal(await page.locator(":focus").getAttribute("id"), "minutes");
  await look("settings refused");
  await page.getByLabel("Minutes until").fill("30");
  await press("Save settings");
  assert.ok(await page.getByText("Settings saved").isVisible());
  await look("settings");
  await page.getByRole("link", { name: /^Received texts/ }).click();
  assert.match(await main(), /Texts are read Monday to Friday, 9am to 5pm/);
  assert.ok(await page.getByRole("region", { name: "Notice" }).isVisible());
  await look("inbox with a notice");
  await page.goto("/settings");
  for (const label of ["Notice on every page", "When received texts are read", "Minutes until"]) {
    await page.getByLabel(label).fill("");
  }
  await press("Save settings");
});
