// How a team shares the inbox: taken, handed over, changed by two at once, dealt with, undone, with a note; `look.mjs` says what is
// looked at on every page.
//
// Reads from the environment beside what that reads: EMAIL and COLLEAGUE, who may deal, with PASSWORD; NUMBERS, which texts came
// from (one for each time), of which the last says TEXT.

import assert from "node:assert/strict";
import { everywhere } from "./look.mjs";

const { BASE_URL, EMAIL, COLLEAGUE, PASSWORD, NUMBERS, TEXT } = process.env;
const numbers = NUMBERS.split(",");

await everywhere(async ({ page, context, javaScriptEnabled, look, listen, heading }) => {
  const number = numbers.shift();
  const press = (name, at = page) => at.getByRole("button", { name, exact: true }).click();
  const main = (at = page) => at.locator("main").innerText();
  const signIn = async (at, email) => {
    await at.goto("/messages");
    await at.getByLabel("Email address").fill(email);
    await at.getByLabel("Password").fill(PASSWORD);
    await press("Sign in", at);
  };
  await signIn(page, EMAIL);
  assert.equal(await heading(), "Received text messages");
  assert.match(await page.getByRole("link", { name: /^Received texts/ }).innerText(), /\d+\s+unread$/);
  await look("inbox");

  // Filters are links that can be taken away.
  await page.getByLabel("Unread", { exact: true }).check();
  await page.getByLabel("Latest sent to").selectOption("07860039001");
  await press("Apply filters");
  assert.doesNotMatch(page.url(), /0786/, "no number stands in the address");
  const narrowed = page.url();
  await look("inbox with filters");
  await page.getByRole("link", { name: number, exact: true }).click();
  assert.equal(await heading(), `Conversation with ${number}`);
  assert.ok((await main()).includes(TEXT) && (await main()).includes("x".repeat(1600)), "texts are whole");
  assert.equal(await page.getByRole("heading", { name: "New messages" }).count(), 1);
  await page.getByRole("link", { name: "Go to the newest message" }).click();
  assert.ok(await page.locator("#newest").isVisible());
  const conversation = new URL(page.url()).pathname;
  await look("conversation of a team");

  await press("Take this conversation");
  assert.ok((await main()).includes("You have taken this conversation"));
  await look("conversation taken");
  await press("Undo");
  assert.match(await main(), /Nobody has taken it/);
  await press("Take this conversation");

  // A colleague has it open in another browser and does something meanwhile.
  const elsewhere = await context
    .browser()
    .newContext({ javaScriptEnabled, viewport: page.viewportSize(), baseURL: BASE_URL });
  const other = await elsewhere.newPage();
  listen(other);
  await signIn(other, COLLEAGUE);
  await other.goto(conversation);
  assert.ok((await main(other)).includes(`${EMAIL} opened this conversation`));
  await press("Mark as read", other);
  await page.getByLabel("Add a note").fill("Typed meanwhile");
  await press("Add note");
  assert.match(await page.title(), /^Error: Conversation/);
  assert.ok((await main()).includes(`${COLLEAGUE} marked it as read`), "what changed is told");
  assert.equal(await page.getByLabel("Add a note").inputValue(), "Typed meanwhile", "what was typed is kept");
  await page.getByRole("link", { name: /^Your change was not made/ }).click();
  assert.equal(await page.locator(":focus").getAttribute("id"), "changes");
  await look("conversation changed meanwhile");
  await press("Add note");
  assert.ok((await main()).includes("Note added"));
  await look("conversation with a note");
  await page.getByRole("button", { name: /^Remove this note/ }).click();
  assert.match(await main(), /Removed by its writer/);

  await press("Add note");
  await page.getByRole("link", { name: "Enter a note" }).click();
  assert.equal(await page.locator(":focus").getAttribute("id"), "note");
  await look("note refused");

  await page.getByLabel("Colleague").selectOption(COLLEAGUE);
  await press("Hand over");
  assert.ok((await main()).includes(`Handed over to ${COLLEAGUE}`));
  await look("conversation handed over");

  await other.goto("/messages?show=mine");
  await other.getByRole("link", { name: number, exact: true }).click();
  await press("Mark as dealt with", other);
  assert.match(await main(other), new RegExp(`Dealt with by ${COLLEAGUE}`));
  await look("conversation dealt with", other);
  await press("Undo", other);
  assert.match(await main(other), /Not dealt with/);
  await press("Mark as dealt with", other);
  await elsewhere.close();

  await page.getByRole("link", { name: "Back to received text messages" }).click();
  assert.equal(page.url(), narrowed, "Back leads to the same filters");
  assert.equal(await page.getByRole("link", { name: number, exact: true }).count(), 0, "it is read");
  await page.getByRole("link", { name: "Clear filters" }).click();
  assert.match(await main(), /Dealt with/);
});
