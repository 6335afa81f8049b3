// Signing in through a provider of OpenID Connect; `look.mjs` says what is looked at on every page of ours. At the provider there are
// only people who may come in (staff) and others.

import assert from "node:assert/strict";
import { everywhere } from "./look.mjs";

await everywhere(async ({ context, page, look, heading, forgive }) => {
  const button = () => page.getByRole("link", { name: "Sign in with Council" });
  const atTheProvider = async (name) => {
    await page.locator("input[name=login]").fill(name);
    await page.locator("input[name=password]").fill("anything");
    await page.locator("button[type=submit]").click();
    await page.locator("button[type=submit]").click();
  };

  await page.goto("/receipts?status=delivered");
  assert.match(page.url(), /\/sign-in\?next=/);
  await look("sign in with two ways");
  await button().click();
  await atTheProvider("staff");
  assert.equal(await heading(), "Newest receipts");
  assert.equal(new URL(page.url()).search, "?status=delivered", "one arrives where one wanted to go");
  assert.ok((await page.locator("header").innerText()).includes("staff@council.example"), "one is known");
  await look("receipts after single sign-on");
  const names = (await context.cookies()).map((cookie) => cookie.name).filter((name) => name.startsWith("__Host-"));
  assert.deepEqual(names.sort(), ["__Host-counterfoil", "__Host-counterfoil-browser"], "the cookie of the way there is gone");
  await page.getByRole("link", { name: "Your account: staff@council.example" }).click();
  assert.ok((await page.locator("main").innerText()).includes("You sign in with Council."));
  await look("account without a password");
  await page.getByRole("link", { name: "Cookies" }).click();
  await look("cookies with single sign-on");

  await page.getByRole("button", { name: "Sign out" }).click();
  assert.equal(await heading(), "Sign in");
  await button().click();
  await page.waitForURL("**/receipts");
  assert.notEqual(await heading(), "Sign in", "the provider knows one still");
  await page.getByRole("button", { name: "Sign out" }).click();

  // The provider forgets who it was.
  await context.clearCookies();
  await page.goto("/sign-in");
  await button().click();
  await atTheProvider("others");
  assert.match(await page.title(), /^Error: /);
  assert.ok((await page.locator("main").innerText()).includes("not among those who may use this service"));
  forgive(403);
  await look("refused after single sign-on");
  await page.getByRole("link", { name: /not among those/ }).click();
  assert.equal(await page.locator(":focus").innerText(), "Sign in with Council", "the error leads to the button");

  await context.clearCookies();
  await page.goto("/sign-in");
  await button().click();
  await page.getByRole("link", { name: "[ Cancel ]" }).click();
  assert.ok((await page.locator("main").innerText()).includes("You did not finish signing in"));
  forgive(403);
  await look("sign in given up");
}, [1280, 320]);
