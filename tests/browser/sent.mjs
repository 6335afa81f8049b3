// How a caseworker reads what a message said and asks Notify for one that is not here, and an admin names a template; `look.mjs` says
// what is looked at on every page.
//
// Reads from the environment beside what that reads: EMAIL, PASSWORD, ID (of a message), SAYS (what it said), REFERENCE (that only Notify
// knows).

import assert from "node:assert/strict";
import { everywhere } from "./look.mjs";

const { EMAIL, PASSWORD, ID, SAYS, REFERENCE } = process.env;

await everywhere(async ({ page, look, heading }) => {
  await page.goto(`/receipts/${ID}`);
  await page.getByLabel("Email address").fill(EMAIL);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  assert.ok((await page.locator("main").innerText()).includes(SAYS), "what the message said can be read");
  assert.ok(await page.getByRole("link", { name: "Open this reference in the case system" }).isVisible());
  await look("receipt with what was said");

  await page.getByLabel("Search by reference, phone number or email address").fill(REFERENCE);
  await page.getByRole("button", { name: "Search" }).click();
  await page.getByRole("link", { name: "Ask Notify now what it knows of this reference" }).click();
  assert.equal(await page.getByLabel("Reference or Notify’s id").inputValue(), REFERENCE);
  await look("ask notify");
  await page.getByRole("button", { name: "Ask Notify now" }).click();
  assert.ok(await page.getByText("Delivering", { exact: true }).isVisible());
  await look("what notify says");
  await page.getByLabel("Reference or Notify’s id").fill("");
  await page.getByRole("button", { name: "Ask Notify now" }).click();
  assert.match(await page.title(), /^Error: /);
  await look("ask notify refused");

  await page.getByRole("link", { name: "Templates", exact: true }).click();
  await look("templates");
  await page.locator("main table a").first().click();
  assert.equal(await heading(), "Name a template");
  await look("name a template");
  await page.getByLabel("Name", { exact: true }).fill("x".repeat(256));
  await page.getByRole("button", { name: "Save name" }).click();
  assert.match(await page.title(), /^Error: /);
  await look("name a template refused");
  await page.getByLabel("Name", { exact: true }).fill("Appointment reminder");
  await page.getByRole("button", { name: "Save name" }).click();
  assert.equal(await heading(), "Templates");
  assert.ok(await page.getByRole("link", { name: /^Appointment reminder/ }).isVisible());
});
