// The served page in Chromium: images of classes.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { assertSame, draw, drop, over, pixels, pixelsOf, ready, withPage } from "./page_browser.mjs";
import { sampled } from "./page_server.mjs";

await withPage(async (open, url) => {
    const { model, limits } = await (await fetch(`${url}api/info`)).json();
    const classes = await (await fetch(`${url}api/classes`)).json();
    const [title, other] = [classes[3], classes[8]].map(({ name }) => name.split(",")[0]);
    const download = async (page) => {
        const [file] = await Promise.all([page.waitForEvent("download"), page.click("#download")]);
        return readFileSync(await file.path());
    };

    await test("image of a class grows, and each scale is the one of var sample", async () => {
        const page = await open({}, "#class=3&seed=5");
        await ready(page);
        await page.evaluate(() => {
            globalThis.seen = [];
            const look = () => {
                const there = document.querySelectorAll("#scales input:enabled").length;
                if (there && there !== globalThis.seen.at(-1)) globalThis.seen.push(there);
            };
            new MutationObserver(look).observe(document.getElementById("scales"), { subtree: true, attributeFilter: ["disabled"] });
        });
        assert.match(await draw(page), /^Done in/);
        const seen = await page.evaluate(() => globalThis.seen.filter((there) => there < document.querySelectorAll("#scales input").length));
        assert.ok(seen.length >= 3, `${seen.length} scales were seen before the last`);
        const { path, scales } = sampled(3, 5);
        const wants = await Promise.all(scales.map((file) => pixelsOf(page, file)));
        assert.equal(wants.length, model.ladder.length);
        assertSame(await pixels(page, "#scales canvas:not(.tokens)"), wants, "not the scale of var sample");
        assertSame(await pixels(page, "#hero canvas"), wants.slice(-1), "the last scale is not shown");
        assert.ok((await download(page)).equals(readFileSync(path)), "the PNG's bytes are not those of var sample");
        assert.deepEqual(page.faults, []);
    });

    await test("each scale can be looked back at", async () => {
        const page = await open({}, "#class=3&seed=5");
        await ready(page);
        await draw(page);
        const scales = await pixels(page, "#scales canvas:not(.tokens)");
        await page.check("#scales label:nth-child(2) input");
        assertSame(await pixels(page, "#hero canvas"), [scales[1]], "the second scale is not shown");
        assert.match(await page.getAttribute("#hero canvas", "aria-label"), new RegExp(`^${title}, seed 5, after scale 2 of`));
    });

    await test("settings are sent, and those of a dropped PNG come back", async () => {
        const page = await open({}, "#class=8&seed=18446744073709551615&cfg=4&top_k=20&top_p=0.5&more_smooth=true&first_index=2");
        await ready(page);
        await draw(page);
        const file = await download(page);
        const again = await open();
        await ready(again);
        await drop(again, "image.png", file);
        await again.waitForFunction(() => document.getElementById("seed").value === "18446744073709551615");
        const values = await again.$$eval("#cfg, #top_k, #top_p, #first_index, #count", (inputs) => inputs.map(({ value }) => value));
        assert.deepEqual(values.sort(), ["0.5", "1", "2", "20", "4"]);
        assert.ok(await again.isChecked("#more_smooth"));
        assert.equal(await again.textContent("#chosen"), await page.textContent("#chosen"));
        assert.deepEqual(await Promise.all([again, page].map((each) => each.evaluate(() => location.hash.includes("seed=18446744073709551615")))), [true, true]);
        await draw(again);
        assert.ok((await download(again)).equals(file), "the settings draw another image");
    });

    await test("the address repeats an image, and follows the form", async () => {
        const page = await open();
        await ready(page);
        await draw(page);
        assert.match(await page.textContent("#chosen"), /./, "a class was drawn at random");
        const [image, hash] = [await download(page), await page.evaluate(() => location.hash)];
        const again = await open({}, hash);
        await ready(again);
        assert.equal(await again.getAttribute("#lock", "aria-pressed"), "true");
        await draw(again);
        assert.ok((await download(again)).equals(image));
        await again.fill("#cfg", "3");
        assert.match(await again.evaluate(() => location.hash), /cfg=3/);
    });

    await test("several classes are drawn together, and history brings each back", async () => {
        const page = await open({}, "#class=3,8&count=2&seed=1");
        await ready(page);
        await draw(page);
        assert.equal(await page.locator("#hero button").count(), 4);
        assert.equal(await page.locator("#history-list li").count(), 4);
        await page.click("#hero button:nth-child(3)");
        assert.match(await page.textContent("#caption"), new RegExp(`^${other}, seed 1.*image 3 of 4`));
        await page.fill("#cfg", "3");
        await page.click("#history-list li:last-child button");
        assert.equal(await page.inputValue("#cfg"), "1.5");
        assert.match(await page.textContent("#caption"), new RegExp(`^${title}, seed 1.*image 1 of 4`));
    });

    await test("seeds: dice, lock, another for each run", async () => {
        const page = await open({}, "#class=3");
        await ready(page);
        const seed = () => page.inputValue("#seed");
        const first = await seed();
        await draw(page);
        assert.equal(await seed(), first, "the seed that is shown is the one that is drawn");
        await draw(page);
        const second = await seed();
        assert.notEqual(second, first);
        await page.click("#lock");
        await draw(page);
        assert.equal(await seed(), second);
        await page.click("#dice");
        assert.notEqual(await seed(), second);
    });

    await test("stop keeps what is there, and a queued job can be canceled", async () => {
        const page = await open({}, `#class=3&seed=5&count=${limits.images}`);
        await ready(page);
        await page.click("#draw");
        await page.waitForFunction(() => document.querySelectorAll("#scales input:enabled").length > 0);
        await page.click("#draw");
        await page.waitForSelector("#queue:not([hidden]) li:nth-child(2)");
        assert.match(await page.textContent("#queue li:nth-child(2)"), /place 1/);
        await page.click("#queue li:nth-child(2) button");
        await page.waitForSelector("#queue", { state: "hidden" });
        await page.click("#stop");
        assert.match(await over(page), /^Stopped (after|before)/);
        const kept = await page.locator("#history-list li").count();
        assert.ok(kept > 0 && kept < limits.images, `${kept} images of ${limits.images}`);
        assert.match(await page.getAttribute("#hero canvas", "aria-label"), /after scale \d/);
    });

    await test("more jobs than a browser has connections wait on the page, and a closed page empties the queue", async () => {
        const page = await open({}, `#class=3&seed=5&count=${limits.images}`);
        await ready(page);
        for (let jobs = 0; jobs < 8; jobs += 1) await page.click("#draw");
        await page.waitForFunction(() => /running/.test(document.getElementById("queue-list").textContent));
        const places = await page.locator("#queue-list .place").allTextContents();
        assert.deepEqual(places.slice(1), [1, 2, 3, 4, 5, 6, 7].map((place) => `place ${place}`));
        await page.click("#queue-list li:last-child button");
        assert.equal(await page.locator("#queue-list li").count(), 7);
        await page.click("#stop");
        await page.waitForFunction(() => document.querySelectorAll("#queue-list li").length === 6);
        await page.close();
        const waiting = async () => (await (await fetch(`${url}api/health`)).json()).queue;
        for (const end = Date.now() + 60_000; (await waiting()) > 0;) {
            assert.ok(Date.now() < end, "jobs of a closed page still wait");
            await new Promise((resolve) => setTimeout(resolve, 100));
        }
    });

    await test("wrong values are told in the server's words beside their field", async () => {
        const page = await open({}, "#class=3&seed=5");
        await ready(page);
        for (const [field, value, wants] of [["cfg", "100000", /100000/], ["count", "5000", /5000/], ["top_p", "2", /2/], ["seed", "dog", /"dog"/], ["cfg", "", /a number wanted/]]) {
            await page.evaluate(() => { document.getElementById("more").open = true; });
            const usual = await page.inputValue(`#${field}`);
            await page.fill(`#${field}`, value);
            await page.click("#draw");
            await page.waitForSelector(`#${field}-error:not([hidden])`);
            assert.match(await page.textContent(`#${field}-error`), wants);
            assert.equal(await page.$eval(`#${field}`, (input) => input === document.activeElement && input.ariaInvalid), "true");
            await page.fill(`#${field}`, usual);
            assert.ok(await page.isHidden(`#${field}-error`));
        }
        const unknown = await open({}, "#class=70000");
        await unknown.waitForSelector("#classes-error:not([hidden])");
        assert.match(await unknown.textContent("#classes-error"), /^class 70000: the model has classes 0 to/);
        assert.deepEqual([...page.faults, ...unknown.faults], []);
    });

    await test("a server that is gone is told in words", async () => {
        const page = await open({}, "#class=3", (page) => page.route("**/api/sample", (route) => route.abort()));
        await ready(page);
        await page.click("#draw");
        await page.waitForSelector("#failure:not([hidden])");
        assert.match(await page.textContent("#failure"), /^The server does not answer/);
    });

    await test("old browsers are told in words", async () => {
        for (const prepare of [
            (page) => page.route("**/main.mjs", (route) => route.fulfill({ contentType: "text/javascript", body: "let = of old" })),
            (page) => page.addInitScript(() => delete globalThis.ReadableStream),
        ]) {
            const page = await open({}, "", prepare);
            await page.waitForSelector("#old-browser:not([hidden])");
        }
        const page = await open();
        await ready(page);
        assert.ok(await page.isHidden("#old-browser"));
    });
});
