// How an admin lets somebody in and keeps them out, and makes, rotates and revokes a token; `look.mjs` says what is looked at on every
// page.
//
// Reads from the environment beside what that reads: EMAIL, PASSWORD.

import assert from "node:assert/strict";
import { everywhere } from "./look.mjs";

const { EMAIL, PASSWORD } = process.env;
let number = 0;

await everywhere(async ({ page, look, heading }) => {
  number += 1;
  await page.goto("/people");
  await page.getByLabel("Email address").fill(EMAIL);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  // The buttons that copy are added by JavaScript.
  const copies = await page.locator("body.js-enabled").count();

  await look("people");
  await page.getByRole("button", { name: "Add a person" }).click();
  await look("add a person");
  await page.getByRole("button", { name: "Add person" }).click();
  assert.match(await page.title(), /^Error: /);
  await page.getByRole("link", { name: "Select what they can do" }).click();
  assert.equal(await page.locator(":focus").getAttribute("name"), "role", "the error leads to the choice");
  await look("add a person refused");
  const newcomer = `newcomer-${number}@example.gov.uk`;
  await page.getByLabel("Email address", { exact: true }).fill(newcomer);
  await page.getByLabel("Viewer").check();
  await page.getByLabel("Test service").check();
  await page.getByRole("button", { name: "Add person" }).click();
  assert.equal(await page.getByRole("button", { name: "Copy link" }).count(), copies);
  await look("one-time link");
  await page.getByRole("link", { name: "Go to their page" }).click();
  assert.equal(await heading(), newcomer);
  await look("person");
  await page.getByRole("link", { name: "Change role and services" }).click();
  assert.ok(await page.getByLabel("Test service").isChecked(), "what holds now is chosen");
  await look("change a person");
  await page.getByLabel("Caseworker").check();
  await page.getByRole("button", { name: "Save" }).click();
  assert.ok(await page.getByText("It holds from their next page on").isVisible());
  await look("person changed");
  await page.getByRole("link", { name: "Disable account" }).click();
  await look("disable an account");
  await page.getByRole("button", { name: "Disable account" }).click();
  assert.ok(await page.getByRole("button", { name: "Enable account" }).isVisible());
  await look("person disabled");

  await page.getByRole("link", { name: "Tokens", exact: true }).click();
  await look("tokens");
  await page.getByRole("button", { name: "Make a token" }).click();
  await look("make a token");
  await page.getByRole("button", { name: "Make token" }).click();
  assert.match(await page.title(), /^Error: /);
  await look("make a token refused");
  const service = `Parking ${number}`;
  await page.getByLabel("Name of the new service").fill(service);
  await page.getByRole("button", { name: "Make token" }).click();
  assert.equal(await page.getByRole("button", { name: "Copy token" }).count(), copies);
  await look("token made");
  await page.getByRole("link", { name: "Back to tokens" }).click();
  const table = page.getByRole("table", { name: `Tokens of ${service}` });
  await table.getByRole("link", { name: /^Rotate/ }).click();
  await look("rotate a token");
  await page.getByRole("button", { name: "Make new token" }).click();
  await look("token rotated");
  await page.getByRole("link", { name: "Back to tokens" }).click();
  await table.getByRole("link", { name: /^Revoke/ }).first().click();
  await look("revoke a token");
  await page.getByRole("button", { name: "Revoke token" }).click();
  await look("token revoked for later");
  await table.getByRole("button", { name: /^Call off/ }).click();
  assert.equal(await table.getByRole("link", { name: /^Rotate/ }).count(), 2, "both are valid");
  await look("revocation called off");
  await page.goto("/status");
  await look("status");
});
