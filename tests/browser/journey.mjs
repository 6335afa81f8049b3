// A journey in Chromium, of a caseworker who is an admin as well, with and without JavaScript, on a desk and on two phones. On every page: no console
// message, no sideways scroll, one h1, and with JavaScript no fault that axe can find by WCAG 2.2 AA.
//
// Reads from the environment: BASE_URL, EMAIL, PASSWORD, REFERENCE (that a receipt has), NUMBER (that a text came from), TEXT
// (what it says), LINK (where a password can be set); CHROMIUM (default /usr/bin/chromium); SCREENSHOTS, a folder for pictures of each page.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const { BASE_URL, EMAIL, PASSWORD, REFERENCE, NUMBER, TEXT, LINK, CHROMIUM = "/usr/bin/chromium", SCREENSHOTS } = process.env;
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const browser = await chromium.launch({
  executablePath: CHROMIUM,
  args: [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
  ],
});

for (const javaScriptEnabled of [true, false]) {
  for (const width of [1280, 375, 320]) {
    await journey(javaScriptEnabled, width);
  }
}
await browser.close();

async function journey(javaScriptEnabled, width) {
  const name = `${width}px ${javaScriptEnabled ? "with" : "without"} JavaScript`;
  const context = await browser.newContext({ javaScriptEnabled, viewport: { width, height: 800 }, baseURL: BASE_URL });
  const page = await context.newPage();
  const said = [];
  page.on("console", (message) => said.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => said.push(`error: ${error.message}`));

  const look = async (what) => {
    console.log(`${name}: ${what}`);
    assert.deepEqual(said, [], `${name}: ${what}: the console is silent`);
    assert.equal(await page.locator("h1").count(), 1, `${name}: ${what}: one h1`);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(wide <= 0, `${name}: ${what}: ${wide} px stick out sideways`);
    if (SCREENSHOTS) {
      const file = `${what.replaceAll(" ", "-")}-${width}${javaScriptEnabled ? "" : "-no-js"}.png`;
      await page.screenshot({ path: join(SCREENSHOTS, file), fullPage: true });
    }
    if (javaScriptEnabled) {
      await page.evaluate(AXE);
      const { violations } = await page.evaluate((values) => axe.run({ runOnly: { type: "tag", values } }), RULES);
      const found = violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.html).join(" | ")}`);
      assert.deepEqual(found, [], `${name}: ${what}: axe finds nothing`);
    }
  };
  const heading = () => page.locator("h1").innerText();
  const search = async (typed) => {
    await page.getByLabel("Search by reference, phone number or email address").fill(typed);
    await page.getByRole("button", { name: "Search" }).click();
  };

  await page.goto(LINK);
  assert.equal(await heading(), "Set your password");
  await look("set password");
  await page.getByLabel("New password").fill("short");
  await page.getByRole("button", { name: "Save and sign in" }).click();
  assert.match(await page.title(), /^Error: /);
  await look("set password refused");

  await page.goto("/receipts");
  assert.match(page.url(), /\/sign-in\?next=/, "without a session one is asked to sign in");
  await look("sign in");
  await page.keyboard.press("Tab");
  assert.equal(await page.locator(":focus").innerText(), "Skip to main content", "the skip link comes first");

  await page.getByLabel("Email address").fill(EMAIL);
  await page.getByRole("button", { name: "Sign in" }).click();
  assert.match(await page.title(), /^Error: /);
  assert.equal(await page.getByLabel("Email address").inputValue(), EMAIL, "what was typed is kept");
  await look("sign in refused");

  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  assert.equal(await heading(), "Newest receipts");
  assert.equal(new URL(page.url()).pathname, "/receipts", "one arrives where one wanted to go");
  await look("newest receipts");

  await page.getByRole("link", { name: "Next page" }).click();
  assert.match(await page.title(), /\(page 2\)/);
  await look("newest receipts page 2");
  await page.getByLabel("Status").selectOption("Delivering");
  await page.getByRole("button", { name: "Apply filter" }).click();
  await look("filtered receipts");
  await page.getByRole("link", { name: "Remove this filter: Delivering" }).click();
  assert.equal(new URL(page.url()).search, "", "the filter is gone");

  await search("---");
  assert.match(await page.title(), /^Error: /);
  await page.getByRole("link", { name: "Enter a reference" }).click();
  assert.equal(await page.locator(":focus").getAttribute("name"), "q", "the error leads to the field");
  await look("search refused");

  await search(`  ${REFERENCE.toLowerCase()} `);
  assert.match(await heading(), /^\d+ results? for ‘/);
  await look("results");
  const results = page.url();
  await page.getByRole("link", { name: REFERENCE, exact: true }).first().click();
  assert.match(await heading(), new RegExp(`Reference ${REFERENCE}`));
  assert.ok(await page.locator(".govuk-tag").first().isVisible(), "the status is there in words");
  await look("receipt");
  await page.getByRole("link", { name: "Back to results" }).click();
  assert.equal(page.url(), results, "Back leads to the same results");

  await search("nothing has this reference");
  assert.match(await heading(), /^0 results for ‘/);
  await look("no results");

  await search(NUMBER);
  assert.match(page.url(), /\/search\/[0-9a-f]{64}$/, "no number stands in the address");
  await look("results for a number");

  await page.getByRole("link", { name: "Received texts" }).click();
  await look("received texts");
  await page.locator("main table a").first().click();
  assert.match(await heading(), /^Conversation with /);
  assert.ok((await page.locator("main").innerText()).includes(TEXT), "the text can be read");
  await look("conversation");

  await page.getByRole("link", { name: "Quarantine" }).click();
  await look("quarantine");
  await page.locator("main table a").first().click();
  await look("quarantined callback");

  await page.getByRole("link", { name: "People" }).click();
  await look("people");
  await page.getByRole("button", { name: "Add a person" }).click();
  await look("add a person");
  await page.getByRole("button", { name: "Add person" }).click();
  assert.match(await page.title(), /^Error: /);
  await page.getByRole("link", { name: "Select what they can do" }).click();
  assert.equal(await page.locator(":focus").getAttribute("name"), "role", "the error leads to the choice");
  await look("add a person refused");
  const newcomer = `newcomer-${width}-${javaScriptEnabled}@example.gov.uk`;
  await page.getByLabel("Email address", { exact: true }).fill(newcomer);
  await page.getByLabel("Viewer").check();
  await page.getByLabel("Test service").check();
  await page.getByRole("button", { name: "Add person" }).click();
  assert.equal(await page.getByRole("button", { name: "Copy link" }).count(), javaScriptEnabled ? 1 : 0);
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
  const service = `Parking at ${width} px ${javaScriptEnabled ? "with" : "without"} JavaScript`;
  await page.getByLabel("Name of the new service").fill(service);
  await page.getByRole("button", { name: "Make token" }).click();
  assert.equal(await page.getByRole("button", { name: "Copy token" }).count(), javaScriptEnabled ? 1 : 0);
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

  await page.getByRole("link", { name: "Cookies" }).click();
  await look("cookies");
  // The browser itself reports a page that is not there, so its console is not looked at for that one.
  await page.goto("/no-such-page");
  assert.equal(await heading(), "Page not found");
  said.splice(0, said.length, ...said.filter((message) => !message.includes("404")));
  await look("not found");

  await page.getByRole("button", { name: "Sign out" }).click();
  assert.equal(await heading(), "Sign in");
  await page.goto("/receipts");
  assert.match(page.url(), /\/sign-in\?next=/, "after signing out the pages are closed");
  await context.close();
}
