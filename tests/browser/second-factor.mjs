// How somebody sets up an authenticator app, signs in with it and without it, and changes what belongs to their account; `look.mjs`
// says what is looked at on every page.
//
// Reads from the environment beside what that reads: EMAILS (of accounts without an app, one for each time), PASSWORD.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { everywhere } from "./look.mjs";

const { EMAILS, PASSWORD } = process.env;
const emails = EMAILS.split(" ");

// What an app with this key shows so many steps from now.
function code(key, later = 0) {
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  const bits = [...key.replaceAll(/\s/g, "")].map((letter) => letters.indexOf(letter).toString(2).padStart(5, "0")).join("");
  const secret = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30000) + later));
  const mark = createHmac("sha1", secret).update(step).digest();
  const place = mark[19] & 15;
  return String((mark.readUInt32BE(place) & 0x7fffffff) % 1000000).padStart(6, "0");
}

await everywhere(async ({ page, look, heading }) => {
  const email = emails.shift();
  const press = (name) => page.getByRole("button", { name, exact: true }).click();
  const givePassword = async (password) => {
    await page.goto("/messages");
    await page.getByLabel("Email address").fill(email);
    await page.getByLabel("Password").fill(password);
    await press("Sign in");
  };
  const key = () => page.locator("dd.app-code").innerText();

  await givePassword(PASSWORD);
  assert.equal(await heading(), "Set up an authenticator app");
  assert.ok((await page.getByRole("img", { name: "QR code for your authenticator app" }).boundingBox()).width > 150);
  await look("set up an app");
  await page.getByLabel("6-digit code").fill("12");
  await press("Continue");
  assert.match(await page.title(), /^Error: /);
  await look("set up an app refused");
  const first = await key();
  const shown = code(first);
  await page.getByLabel("6-digit code").fill(`${shown.slice(0, 3)} ${shown.slice(3)}`);
  await press("Continue");
  assert.equal(await heading(), "Keep your recovery codes");
  const recoveryCodes = await page.locator("li.app-code").allInnerTexts();
  assert.equal(recoveryCodes.length, 10);
  await look("recovery codes");
  await page.getByRole("link", { name: "I have kept them, continue" }).click();
  assert.equal(await heading(), "Received text messages", "one arrives where one wanted to go");

  await page.getByRole("link", { name: `Your account: ${email}` }).click();
  assert.equal(await heading(), "Your account");
  await look("account");
  await press("Sign out");

  await givePassword(PASSWORD);
  assert.equal(await heading(), "Enter your security code");
  await look("security code");
  await page.getByLabel("6-digit code").fill("123");
  await press("Continue");
  await page.getByRole("link", { name: "Enter the 6-digit code" }).click();
  assert.equal(await page.locator(":focus").getAttribute("name"), "code", "the error leads to the field");
  await look("security code refused");
  await page.getByRole("link", { name: "Use a recovery code" }).click();
  assert.equal(await heading(), "Enter a recovery code");
  await look("recovery code");
  await page.getByLabel("Recovery code").fill("ABCD");
  await press("Continue");
  await look("recovery code refused");
  await page.getByRole("link", { name: "Back to security code" }).click();
  await page.getByLabel("6-digit code").fill(code(first, 1));
  await press("Continue");
  assert.equal(await heading(), "Received text messages", "one arrives where one wanted to go");

  await page.goto("/account");
  await page.getByRole("link", { name: "Make new recovery codes" }).click();
  await look("new recovery codes");
  await press("Make new codes");
  await look("new recovery codes refused");
  await page.getByLabel("Your password").fill(PASSWORD);
  await press("Make new codes");
  assert.equal(await heading(), "Keep your recovery codes");
  const newCodes = await page.locator("li.app-code").allInnerTexts();
  await page.getByRole("link", { name: "I have kept them, continue" }).click();

  await page.getByRole("link", { name: "Set up another app in its place" }).click();
  await look("another app");
  const second = await key();
  assert.notEqual(second, first);
  await page.getByLabel("6-digit code").fill(code(second));
  await press("Continue");
  await look("another app refused");
  await page.getByLabel("Your password").fill(PASSWORD);
  await page.getByLabel("6-digit code").fill(code(second));
  await press("Continue");
  const lastCodes = await page.locator("li.app-code").allInnerTexts();
  assert.ok(lastCodes.every((code) => !newCodes.includes(code)));
  await page.getByRole("link", { name: "I have kept them, continue" }).click();

  await page.getByRole("link", { name: "Change your password" }).click();
  await look("change password");
  await page.getByLabel("Present password").fill(PASSWORD);
  await page.getByLabel("New password").fill("short");
  await press("Change password");
  await look("change password refused");
  await page.getByLabel("Present password").fill(PASSWORD);
  await page.getByLabel("New password").fill("another three words");
  await press("Change password");
  assert.equal(await heading(), "Your account");
  await press("Sign out");

  await givePassword("another three words");
  await page.getByRole("link", { name: "Use a recovery code" }).click();
  await page.getByLabel("Recovery code").fill(lastCodes[0].toLowerCase());
  await press("Continue");
  assert.equal(await heading(), "Received text messages");
  await page.goto("/account");
  assert.ok((await page.locator("main").innerText()).includes("You have 9 recovery codes left"));
});
