// A caseworker's journey in Chromium, with and without JavaScript, on a desk and on two phones; `look.mjs` says what is looked at.
//
// Reads from the environment beside what that reads: EMAIL, PASSWORD, REFERENCE (that a receipt has), NUMBER (that a text came from),
// TEXT (what it says), LINK (where a password can be set).

import assert from "node:assert/strict";
import { everywhere } from "./look.mjs";

const { EMAIL, PASSWORD, REFERENCE, NUMBER, TEXT, LINK } = process.env;

await everywhere(async ({ page, context, javaScriptEnabled, look, heading, forgive, listen }) => {
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
  assert.ok(await page.getByText("You last signed in at").isVisible(), "the first page tells of the sign-in before");
  await look("newest receipts");

  await page.getByRole("link", { name: "Next page" }).click();
  assert.match(await page.title(), /\(page 2\)/);
  assert.equal(await page.getByText("You last signed in at").count(), 0, "and no other does");
  await look("newest receipts page 2");
  await page.getByText("Filters", { exact: true }).click();
  await page.getByLabel("Status").selectOption("Delivering");
  await page.getByRole("button", { name: "Apply filters" }).click();
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
  const receipt = page.url();
  await page.getByRole("link", { name: "What this status means, and the others" }).first().click();
  assert.equal(await heading(), "What statuses mean");
  assert.ok(await page.locator(":target").isVisible(), "the link leads to the status");
  await look("what statuses mean");
  await page.goto(receipt);
  await page.getByText("What was sent").first().click();
  await look("receipt with what was sent");
  await page.goto(results);
  await page.getByRole("link", { name: REFERENCE, exact: true }).first().click();
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

  await page.getByRole("link", { name: "Record", exact: true }).click();
  await look("record");
  await page.getByLabel("Whose data").fill(NUMBER);
  await page.getByRole("button", { name: "Show" }).click();
  assert.match(page.url(), /about=[0-9a-f]{64}/, "no number stands in the address");
  await look("record of one person");
  await page.getByLabel("First day").fill("yesterday");
  await page.getByRole("button", { name: "Show" }).click();
  assert.match(await page.title(), /^Error: /);
  await look("record refused");
  await page.getByRole("link", { name: /^Alarms/ }).click();
  await look("alarms");
  const elsewhere = await context.browser().newContext({ baseURL: process.env.BASE_URL });
  await elsewhere.request.post("/sign-in", { form: { email: EMAIL, password: PASSWORD } });
  await elsewhere.close();
  await page.goto("/account/sessions");
  assert.equal(await heading(), "Where you are signed in");
  assert.equal(await page.getByText("This session").count(), 1);
  await look("sessions");
  await page.getByRole("button", { name: "Sign out everywhere else" }).click();
  assert.ok(await page.getByText("You are signed in nowhere else").isVisible());
  if (javaScriptEnabled) {
    await sessionEnds(context, listen, look);
  }

  await page.getByRole("link", { name: "Cookies" }).click();
  await look("cookies");
  // The browser itself reports a page that is not there, so its console is not looked at for that one.
  await page.goto("/no-such-page");
  assert.equal(await heading(), "Page not found");
  forgive(404);
  await look("not found");

  await page.getByRole("button", { name: "Sign out" }).click();
  assert.equal(await heading(), "Sign in");
  await page.goto("/receipts");
  assert.match(page.url(), /\/sign-in\?next=/, "after signing out the pages are closed");
});

// A session is warned of before it ends, and what was being typed outlives its end.
async function sessionEnds(context, listen, look) {
  const page = await context.newPage();
  listen(page);
  await page.clock.install();
  let left = 290;
  await page.route("**/session", (route) => {
    const said = { left, extends: true, email: EMAIL };
    return route.request().method() === "GET" ? route.fulfill({ json: said }) : route.continue();
  });
  await page.goto("/receipts");
  const field = page.getByLabel("Search by reference, phone number or email address");
  await field.fill("half a reference");
  const soon = page.getByRole("dialog", { name: "You will be signed out soon" });
  const ended = page.getByRole("dialog", { name: "You have been signed out" });

  // The use of a session is noted once a minute, so that it may end a minute sooner.
  await page.clock.fastForward("23:30");
  assert.ok(!(await soon.isVisible()), "no warning comes too early");
  await page.clock.fastForward("02:00");
  await soon.waitFor();
  assert.match(await soon.innerText(), /You will be signed out in 5 minutes/);
  assert.equal(await page.locator(":focus").innerText(), "Stay signed in", "the keyboard is where it is wanted");
  await look("session ends soon", page);
  await page.keyboard.press("Enter");
  await soon.waitFor({ state: "hidden" });
  assert.equal(await page.locator(":focus").getAttribute("name"), "q", "and goes back to where it was");

  await page.clock.fastForward("25:30");
  await soon.waitFor();
  await page.keyboard.press("Escape");
  await soon.waitFor({ state: "hidden" });

  left = 0;
  await page.clock.fastForward("25:30");
  await ended.waitFor();
  await page.keyboard.press("Escape");
  assert.ok(await ended.isVisible(), "what is on the page stays hidden");
  await look("session has ended", page);
  const opened = context.waitForEvent("page");
  await page.keyboard.press("Enter");
  const signIn = await opened;
  await signIn.waitForURL("**/sign-in");
  await signIn.close();
  left = 1700;
  await page.evaluate(() => window.dispatchEvent(new Event("focus")));
  await ended.waitFor({ state: "hidden" });
  assert.equal(await field.inputValue(), "half a reference", "what was typed is still there");
  await page.close();
}
