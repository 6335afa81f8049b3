// How a manager answers a request about somebody’s data: found, held, exported, redacted and erased; `look.mjs` says what is looked at
// on every page.
//
// Reads from the environment beside what that reads: EMAIL and PASSWORD of a manager; NUMBERS, which a receipt, a text and a body in
// quarantine have each (one for each time); TEXT, what the texts say.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { everywhere } from "./look.mjs";

const { EMAIL, PASSWORD, NUMBERS, TEXT } = process.env;
const numbers = NUMBERS.split(",");

await everywhere(async ({ page, look, heading }) => {
  const number = numbers.shift();
  const press = (name) => page.getByRole("button", { name, exact: true }).click();
  const said = (name) => page.locator(".govuk-summary-list__row", { hasText: name }).locator("dd").innerText();
  // The error names the field that it leads to.
  const refused = async (words, field) => {
    assert.match(await page.title(), /^Error: /);
    await page.getByRole("link", { name: words }).click();
    const focused = page.locator(":focus");
    assert.equal(await focused.getAttribute("id"), field);
    assert.match(await page.locator(`#${(await focused.getAttribute("aria-describedby")).split(" ").pop()}`).innerText(), new RegExp(words));
  };

  await page.goto("/receipts");
  await page.getByLabel("Email address").fill(EMAIL);
  await page.getByLabel("Password").fill(PASSWORD);
  await press("Sign in");
  await page.getByRole("link", { name: "Personal data" }).click();
  assert.equal(await heading(), "Data about a person");
  await look("data about a person");

  await page.getByLabel("What are you entering?").selectOption("Email address");
  await page.getByLabel("Phone number, email address or reference").fill(number);
  await press("Continue");
  await refused("Enter an email address", "subject");
  assert.equal(await page.locator(":focus").inputValue(), number, "what was typed is kept");
  await look("data about a person refused");

  await page.getByLabel("What are you entering?").selectOption("Phone number");
  await press("Continue");
  assert.equal(await heading(), "What is held");
  assert.match(page.url(), /\/subjects\/number\/[0-9a-f]{64}$/, "no number stands in the address");
  for (const kind of ["Delivery receipt", "Received text message", "In quarantine"]) assert.equal(await said(kind), "1");
  await look("what is held");

  const downloading = page.waitForEvent("download");
  await page.getByRole("link", { name: "Download as CSV" }).click();
  const download = await downloading;
  assert.equal(download.suggestedFilename(), "export.csv");
  assert.ok(readFileSync(await download.path(), "utf8").includes(TEXT), "the text is in the file");

  await press("Add hold");
  await refused("Enter a reason", "hold-reason");
  await look("hold refused");
  await page.getByLabel("Reason for the hold").fill("Case 7 of the ombudsman");
  await press("Add hold");
  assert.match(await page.locator("main").innerText(), /Held since .* for Case 7 of the ombudsman: 3\./);
  assert.equal(await said("Of these held"), "3");
  await look("what is held with a hold");

  const how = page.getByLabel("The text of messages: keep receipts");
  await how.check();
  await press("Continue");
  await refused("Enter a reason", "erase-reason");
  assert.ok(await how.isChecked(), "what was chosen is kept");
  await look("erasing refused");
  await page.getByLabel("Reason", { exact: true }).fill("Request 12");
  await press("Continue");
  assert.equal(await heading(), "Check before you redact");
  await look("check before you redact");
  await press("Redact it for good");
  assert.equal(await said("Held, and kept"), "3");
  await look("redacted");

  // The search that led there is gone.
  await page.getByRole("link", { name: "Look for another person" }).click();
  await page.getByLabel("Phone number, email address or reference").fill(number);
  await press("Continue");
  await press("Remove this hold");
  await page.getByLabel("Everything").check();
  await page.getByLabel("Reason", { exact: true }).fill("Request 12");
  await press("Continue");
  assert.equal(await heading(), "Check before you erase");
  assert.equal(await said("Reason"), "Request 12");
  await look("check before you erase");
  await page.getByRole("link", { name: "Cancel" }).click();
  assert.equal(await said("Received text message"), "1", "nothing was erased");
  await page.getByLabel("Everything").check();
  await page.getByLabel("Reason", { exact: true }).fill("Request 12");
  await press("Continue");
  await press("Erase it for good");
  assert.equal(await heading(), "Erased");
  assert.equal(await said("Receipts and messages erased"), "2");
  await look("erased");

  await page.getByRole("link", { name: "Look for another person" }).click();
  await page.getByLabel("Phone number, email address or reference").fill(number);
  await press("Continue");
  assert.equal(await said("Received text message"), "0");
  await look("nothing is held");
});
