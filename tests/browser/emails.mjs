// How somebody chooses what they are emailed about, and has another address confirmed; `look.mjs` says what is looked at on every page.
//
// Reads from the environment beside what that reads: EMAIL, who has a confirmed address at the beginning and at the end, and PASSWORD.

import assert from "node:assert/strict";
import { everywhere } from "./look.mjs";

const { EMAIL, PASSWORD } = process.env;

await everywhere(async ({ page, look, heading }) => {
  const press = (name) => page.getByRole("button", { name, exact: true }).click();
  const main = () => page.locator("main").innerText();
  await page.goto("/account");
  await page.getByLabel("Email address").fill(EMAIL);
  await page.getByLabel("Password").fill(PASSWORD);
  await press("Sign in");
  await look("account with emails");
  await page.locator("a[href='/account/emails']").first().click();
  assert.equal(await heading(), "Emails about texts");
  await look("emails");

  const boxes = page.getByRole("checkbox");
  for (const box of await boxes.all()) await box.check();
  await press("Save emails");
  assert.equal(await page.locator("input[name=news]:checked").count(), await boxes.count());
  await look("emails saved");
  for (const box of await boxes.all()) await box.uncheck();
  await press("Save emails");
  assert.equal(await page.locator("input[name=news]:checked").count(), 0);

  await page.getByLabel("Email address", { exact: true }).fill("somebody");
  await press("Send me a code");
  assert.match(await page.title(), /^Error: /);
  await look("emails refused");
  await page.getByLabel("Email address", { exact: true }).fill("somebody.else@department.example.gov.uk");
  await press("Send me a code");
  assert.match(await main(), /We sent an email with a code to somebody\.else@department\.example\.gov\.uk/);
  await look("emails with a code");
  await page.getByLabel("Code from the email").fill("12");
  await press("Confirm address");
  assert.match(await page.title(), /^Error: /);
  await look("emails with a wrong code");
});
