// How somebody adds a passkey, signs in with it after the password and in its place, and removes it. Chromium's virtual
// authenticator stands for the device. Without JavaScript the pages say what is missing, and everything else works.
//
// Reads from the environment beside what `look.mjs` reads: EMAILS (of accounts, one for each time), PASSWORD.

import assert from "node:assert/strict";
import { everywhere } from "./look.mjs";

const { EMAILS, PASSWORD } = process.env;
const emails = EMAILS.split(" ");
const NEEDS_JAVASCRIPT = "To use a passkey, turn on JavaScript in your browser.";

await everywhere(async ({ page, context, javaScriptEnabled, look, heading }) => {
  const email = emails.shift();
  const press = (name) => page.getByRole("button", { name, exact: true }).click();
  const follow = (name) => page.getByRole("link", { name }).click();
  const givePassword = async () => {
    await page.goto("/messages");
    await page.getByLabel("Email address").fill(email);
    await page.getByLabel("Password").fill(PASSWORD);
    await press("Sign in");
  };
  const said = () => page.locator(".govuk-error-summary").innerText();

  await givePassword();
  await page.goto("/account");
  await look("account without passkeys");
  await follow("Add a passkey");
  await look("add a passkey");
  if (!javaScriptEnabled) {
    assert.ok((await page.locator("main").innerText()).includes(NEEDS_JAVASCRIPT));
    await press("Sign out");
    assert.equal(await page.getByRole("button", { name: "Sign in with a passkey" }).count(), 0, "no button that does nothing");
    await page.goto("/sign-in/passkey");
    assert.ok((await page.locator("main").innerText()).includes(NEEDS_JAVASCRIPT));
    await look("sign in with a passkey");
    return;
  }

  const devices = await context.newCDPSession(page);
  await devices.send("WebAuthn.enable");
  const { authenticatorId } = await devices.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });
  const checksOwner = (isUserVerified) => devices.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified });

  await page.getByLabel("Name of the passkey").fill("Work laptop with a long name that does not fit on a phone");
  await press("Continue");
  assert.equal(await page.title().then((title) => title.startsWith("Error: ")), true);
  await look("add a passkey refused");
  await page.getByLabel("Your password").fill(PASSWORD);
  await press("Continue");
  assert.equal(await heading(), "Make your passkey");
  await look("make your passkey");
  await press("Make the passkey");
  await page.waitForURL("**/account");
  assert.ok((await page.locator("main").innerText()).includes("Not used yet"));
  await look("account with a passkey");

  await follow("Add a passkey");
  await page.getByLabel("Name of the passkey").fill("The same");
  await page.getByLabel("Your password").fill(PASSWORD);
  await press("Continue");
  await press("Make the passkey");
  await page.locator(".govuk-error-summary").waitFor();
  assert.match(await said(), /One of your passkeys is kept there already/);
  assert.ok(await page.locator(".govuk-error-summary:focus").count(), "what went wrong is where the reader is");
  assert.equal(await page.locator(".govuk-error-summary [role=alert]").count(), 1);
  await look("make your passkey refused");
  await press("Sign out");

  await givePassword();
  assert.equal(await heading(), "Use your passkey");
  await look("passkey as the second step");
  await press("Use a passkey");
  await page.waitForURL("**/messages");
  assert.equal(await heading(), "Received text messages", "one arrives where one wanted to go");
  await press("Sign out");

  await page.goto("/messages");
  await look("sign in");
  await press("Sign in with a passkey");
  assert.equal(await heading(), "Sign in with a passkey");
  await look("sign in with a passkey");
  await checksOwner(false);
  await press("Use your passkey");
  await page.locator(".govuk-error-summary").waitFor();
  assert.match(await said(), /cancelled, or took too long/);
  await look("sign in with a passkey refused");
  await checksOwner(true);
  await press("Use your passkey");
  await page.waitForURL("**/messages");
  assert.equal(await heading(), "Received text messages", "one arrives where one wanted to go");

  await page.goto("/account");
  await follow("Change or remove");
  await look("a passkey");
  await page.getByLabel("Name of the passkey").fill("Phone");
  await press("Change name");
  assert.ok((await page.locator("main").innerText()).includes("Phone"));
  await follow("Change or remove Phone");
  await press("Remove passkey");
  await look("a passkey refused");
  await page.getByLabel("Your password").fill(PASSWORD);
  await press("Remove passkey");
  assert.equal(await heading(), "Your account", "one stays signed in");
  assert.ok((await page.locator("main").innerText()).includes("You have no passkeys"));
  await press("Sign out");

  await press("Sign in with a passkey");
  await press("Use your passkey");
  await page.locator(".govuk-error-summary").waitFor();
  assert.match(await said(), /This passkey is not known here/);
  await look("a passkey that was removed");
});
