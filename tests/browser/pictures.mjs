// Makes the pictures of the documentation. `pictures.rs` says what is on them, and CONTRIBUTING.md how to make them.
//
// Reads from the environment: BASE_URL; CHROMIUM (default /usr/bin/chromium); EMAIL and PASSWORD; PICTURES, the folder that they go to.

import assert from "node:assert/strict";
import { join } from "node:path";
import { everywhere } from "./look.mjs";

const { EMAIL, PASSWORD, PICTURES } = process.env;

await everywhere(async ({ page, javaScriptEnabled, heading }) => {
  if (!javaScriptEnabled) return;
  const take = async (name, height) => {
    await page.mouse.move(0, 0);
    await page.evaluate(() => document.activeElement.blur());
    await page.screenshot({ path: join(PICTURES, `${name}.png`), fullPage: true, clip: { x: 0, y: 0, width: 1000, height } });
  };
  await page.goto("/account");
  await page.getByLabel("Email address").fill(EMAIL);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  // The first page tells of the sign-in before.
  await page.getByLabel("Search by reference, phone number or email address").fill("HB-2026");
  await page.getByRole("button", { name: "Search", exact: true }).click();
  assert.match(await heading(), /^\d results for/);
  await take("results", 860);
  await page.getByRole("link", { name: "HB-2026-000043", exact: true }).click();
  await take("receipt", 860);
  await page.goto("/messages");
  await take("inbox", 700);
  await page.getByRole("link", { name: "447700900123", exact: true }).click();
  await take("conversation", 860);
}, [1000]);
