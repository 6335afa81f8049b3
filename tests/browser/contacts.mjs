// How somebody works through the contacts to check: ticked off, undone, found among those dealt with, narrowed to a service, saved as a
// file; `look.mjs` says what is looked at on every page.
//
// Reads from the environment beside what that reads: EMAIL and PASSWORD of a manager. What there is to be found stands in `contacts.rs`.

import assert from "node:assert/strict";
import { everywhere } from "./look.mjs";

const { EMAIL, PASSWORD } = process.env;

await everywhere(async ({ page, look, heading }) => {
  const rows = () => page.locator("main tbody tr").count();
  const boxes = page.getByRole("checkbox");
  const press = (name) => page.getByRole("button", { name, exact: true }).click();
  const said = (words) => page.getByText(words).first().isVisible();

  await page.goto("/contacts");
  await page.getByLabel("Email address").fill(EMAIL);
  await page.getByLabel("Password").fill(PASSWORD);
  await press("Sign in");
  assert.equal(await heading(), "Contacts to check: not delivered");
  const all = await rows();
  assert.ok(all >= 4, `${all} rows`);
  await look("contacts not delivered");

  await press("Mark as dealt with");
  assert.match(await page.title(), /^Error: Contacts to check/);
  assert.ok(await page.locator("#contacts-error").isVisible(), "the error stands at the list too");
  await look("contacts none selected");
  await page.getByRole("link", { name: "Select the contacts that are dealt with" }).click();
  assert.equal(await page.locator(":focus").getAttribute("id"), "contacts", "the error leads to the list");

  for (const at of [0, 1]) await boxes.nth(at).check();
  await look("contacts selected");
  await press("Mark as dealt with");
  assert.ok(await said("2 contacts marked as dealt with"));
  assert.equal(await rows(), all - 2);
  await look("contacts dealt with just now");
  await press("Undo");
  assert.ok(await said("2 contacts marked as not dealt with"));
  assert.equal(await rows(), all);

  // A box can be reached and ticked by the keyboard alone.
  await boxes.first().focus();
  await page.keyboard.press("Space");
  await press("Mark as dealt with");
  await page.getByRole("link", { name: "Show those that are dealt with" }).click();
  assert.equal(await heading(), "Contacts to check: not delivered, dealt with");
  assert.equal(await rows(), 1);
  await look("contacts that are dealt with");
  await boxes.first().check();
  await press("Mark as not dealt with");
  assert.equal(await rows(), all);

  // The service stays chosen while one works through its contacts.
  await page.locator("summary", { hasText: "Filters" }).click();
  await page.getByLabel("Service").selectOption("Parking");
  await press("Apply filters");
  assert.equal(await rows(), 1);
  await boxes.first().check();
  await press("Mark as dealt with");
  assert.equal(await page.getByLabel("Service").locator("option:checked").innerText(), "Parking");
  assert.ok(await said("There is nobody here that you need to look at."));
  await look("contacts of a service");
  await press("Undo");
  assert.equal(await rows(), 1);
  assert.equal(await page.getByLabel("Service").locator("option:checked").innerText(), "Parking");

  // A date that is none is said at its field; one that is narrows the list, and goes with its link.
  await page.getByRole("group", { name: "Latest date" }).getByLabel("Day").fill("31");
  await press("Apply filters");
  assert.match(await page.title(), /^Error: Contacts to check/);
  await look("contacts with a wrong date");
  for (const [part, typed] of [["Month", "1"], ["Year", "2020"]]) await page.getByRole("group", { name: "Latest date" }).getByLabel(part).fill(typed);
  await press("Apply filters");
  assert.equal(await rows(), 0);
  await look("contacts of a time");
  await page.getByRole("link", { name: "Until 31 January 2020" }).click();
  assert.equal(await rows(), 1);

  for (const list of ["Failing now and then", "Marked as spam", "Asked to stop", "Possibly wrong person", "Letters returned"]) {
    await page.getByRole("link", { name: new RegExp(`^${list} \\(\\d+\\)`) }).click();
    assert.equal(await heading(), `Contacts to check: ${list.toLowerCase()}`);
    await look(`contacts ${list}`);
  }

  // In the colours of a person's own, what is ticked and which list this is can still be seen.
  await page.goto("/contacts/failed");
  await page.emulateMedia({ forcedColors: "active" });
  await boxes.first().check();
  const here = page.getByRole("link", { name: "Contacts to check", exact: true });
  assert.match(await here.evaluate((link) => getComputedStyle(link).textDecorationLine), /underline/);
  await look("contacts in forced colours");
  await page.emulateMedia({ forcedColors: "none" });
});
