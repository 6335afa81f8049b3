// What a new colleague is asked in the first week, from the first page, with so many actions as docs/first-week.md says at most. With and
// without JavaScript, on a desk and on a small phone.
//
// Reads from the environment beside what look.mjs reads: EMAIL of a caseworker, MANAGER, PASSWORD; YESTERDAY, a moment of it in
// milliseconds; COLLEAGUE, who took a conversation. What there is to be found stands in `first_week.rs`, much of it once for each time
// the journey is made: the number of that time is the last digit of a phone number.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { everywhere } from "./look.mjs";

const { EMAIL, MANAGER, PASSWORD, YESTERDAY, COLLEAGUE } = process.env;
const PLAN = readFileSync(new URL("../../docs/first-week.md", import.meta.url), "utf8");
let time = -1;

// The number of each task with its name and the most actions that it may take.
const plan = new Map(
  PLAN.split(/^## /m).slice(1).map((section) => {
    const [, number, name] = section.match(/^(\d+)\. (.*)$/m);
    return [Number(number), { name, most: Number(section.match(/^Actions: (\d+)$/m)[1]) }];
  }),
);

await everywhere(async ({ page, javaScriptEnabled, look, heading }) => {
  time += 1;
  let actions = 0;
  const act = (doing) => ((actions += 1), doing);
  const link = (name) => act(page.getByRole("link", { name }).first().click());
  const main = () => page.locator("main").innerText();
  const press = (name) => act(page.getByRole("button", { name, exact: true }).click());
  const search = async (typed) => {
    await page.getByLabel("Search by reference, phone number or email address").fill(typed);
    await press("Search");
  };
  const signIn = async (email) => {
    await page.goto("/sign-in");
    await page.getByLabel("Email address").fill(email);
    await page.getByLabel("Password").fill(PASSWORD);
    await page.getByRole("button", { name: "Sign in" }).click();
  };
  // Rows of the inbox and of lists are found by the person.
  const row = (text) => page.locator("main tbody tr", { hasText: text });
  const done = new Set();
  const task = async (number, way) => {
    const { name, most } = plan.get(number);
    await page.goto("/");
    actions = 0;
    await way();
    assert.ok(actions <= most, `${number}. ${name}: ${actions} actions, and docs/first-week.md says ${most}`);
    done.add(number);
  };

  await signIn(EMAIL);
  await task(1, async () => {
    await search(" 07700 900 123");
    assert.match(await row("HB-9").innerText(), /Delivered/, "the list says it already");
    assert.ok((await page.locator("main tbody tr").first().innerText()).includes("HB-9"), "the last message comes first");
    await link("HB-9");
    assert.match(await main(), /What it means|Delivered/);
  });

  await task(2, async () => {
    await link(/^Received texts/);
    await link(`44770090020${time}`);
    await press("Take this conversation");
    await press("Mark as dealt with");
    assert.match(await main(), /Taken by you/);
    assert.match(await main(), new RegExp(`Dealt with by ${EMAIL}`));
  });

  await task(3, async () => {
    await search("HB-2026-999");
    assert.match(await heading(), /^0 results for/);
    assert.match(await main(), /no report of it has come\. The service may not have sent a message/);
    assert.match(await main(), /can take up to 72 hours/);
  });

  await task(4, async () => {
    await search("nobody@example.com");
    await link("HB-4");
    assert.match(await main(), /Email address does not exist/);
    assert.match(await main(), /Check the (email )?address|ask the person|another way/i, "it says what now");
  });

  await task(6, async () => {
    await link("Contacts to check");
    await link(/^Asked to stop/);
    await act(page.getByRole("checkbox", { name: `Select 44770090030${time}` }).check());
    await press("Mark as dealt with");
    assert.match(await main(), /1 contact marked as dealt with/);
    assert.equal(await row(`44770090030${time}`).count(), 0);
  });

  await task(7, async () => {
    await link(/^Received texts/);
    await act(row(`Taken by ${COLLEAGUE}`).getByRole("link").last().click());
    assert.match(await main(), new RegExp(`Taken by ${COLLEAGUE}`));
    await press("Take this conversation");
    assert.match(await main(), /Taken by you/);
  });

  await task(8, async () => {
    await search("lift broken");
    assert.match(await main(), /The lift is broken again/);
    await link("Read the conversation");
    assert.match(await heading(), /^Conversation with /);
  });

  await task(9, async () => {
    await link("Contacts to check");
    await link(/^Letters returned/);
    await act(row("HB-7").getByRole("link").first().click());
    assert.match(await heading(), /HB-7/);
    assert.match(await main(), /[Aa]ddress/);
  });

  await task(10, async () => {
    await search("Waiting@Example.com");
    assert.match(await row("HB-8").innerText(), /Delivering/);
  });

  await task(12, async () => {
    await link(/^Received texts/);
    await link("447700900400");
    // The mistake is no part of the task, and undone at once the first time.
    for (const mend of ["Undo", "Mark as not dealt with"]) {
      await page.getByRole("button", { name: "Mark as dealt with", exact: true }).click();
      if (mend !== "Undo") {
        await page.goto("/");
        actions = 0;
        await link(/^Received texts/);
        await link("447700900400");
      }
      await press(mend);
      assert.match(await main(), /Not dealt with/);
    }
  });

  await page.getByRole("button", { name: "Sign out" }).click();
  await signIn(MANAGER);
  await task(5, async () => {
    await link("Contacts to check");
    const downloading = page.waitForEvent("download");
    await link("Download (CSV)");
    const file = readFileSync(await (await downloading).path(), "utf8");
    assert.ok(file.includes('"nobody@example.com","HB-4"'), file);
  });

  await task(11, async () => {
    await act(page.getByText("Filters", { exact: true }).click());
    await act(page.getByLabel("Service").selectOption("Parking"));
    await act(page.getByLabel("Only failures").check());
    await press("Yesterday only");
    const references = await page.locator("main tbody th").allInnerTexts();
    assert.deepEqual(references, ["PCN-11"], "and neither today's, nor what arrived, nor another service's");
    const day = new Date(Number(YESTERDAY)).toLocaleDateString("en-GB", { timeZone: "Europe/London", day: "numeric" });
    assert.equal(new URL(page.url()).searchParams.get("latest-day"), day, "the address holds the date");
    await look(`failures of yesterday ${javaScriptEnabled}`);
  });

  assert.deepEqual([...done].sort((a, b) => a - b), [...plan.keys()], "every task was done");
}, [1280, 320]);
