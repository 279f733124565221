// The served page in Chromium: images of one's own.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { deflateSync } from "node:zlib";

import { assertSame, draw, drop, pixels, pixelsOf, ready, withPage } from "./page_browser.mjs";
import { beside, chunk, declared, edited, sampled } from "./page_server.mjs";

await withPage(async (open, url) => {
    const { model } = await (await fetch(`${url}api/info`)).json();
    const side = model.ladder.at(-1);
    const image = sampled(3, 5).path;

    /** Opens the page with the image, for a task. */
    async function withImage(task, fragment = "") {
        const page = await open({}, `#task=${task}${fragment}`);
        await ready(page);
        await page.setInputFiles("#file", image);
        await page.waitForSelector("#preview:not([hidden])");
        return page;
    }

    /** Paints the left half, by pointer. */
    async function paintLeft(page) {
        await page.check("input[name=tool][value=box]");
        await page.$eval("#painter", (place) => place.scrollIntoView({ block: "center" }));
        const { x, y, width, height } = await page.locator("#painter").boundingBox();
        await page.mouse.move(x + 2, y + 2);
        await page.mouse.down();
        await page.mouse.move(x + width / 2 - 4, y + height - 2, { steps: 4 });
        await page.mouse.up();
    }

    /** Whether two images are equal in the pixels of a part. */
    function equalWhere(one, other, where) {
        const [a, b] = [one, other].map((text) => text.split(","));
        const pixels = Array.from({ length: a.length / 3 }, (_, pixel) => pixel).filter((pixel) => where(pixel % model.side));
        assert.ok(pixels.length > 0 && a.length === b.length);
        return pixels.every((pixel) => [0, 1, 2].every((channel) => a[pixel * 3 + channel] === b[pixel * 3 + channel]));
    }
    const isLeft = (x) => x < Math.floor(side / 2) * model.side / side;

    await test("an image is reconstructed, after every scale", async () => {
        const page = await withImage("reconstruct");
        assert.match(await draw(page), /^Done in/);
        const scales = await pixels(page, "#scales canvas:not(.tokens)");
        assert.equal(new Set(scales).size, model.ladder.length);
        assertSame(await pixels(page, "#hero canvas"), scales.slice(-1), "the last scale is not shown");
        assert.deepEqual(page.faults, []);
    });

    for (const outpaint of [false, true]) {
        await test(`${outpaint ? "out" : "in"}-painting keeps the other part to the byte of the reconstruction`, async () => {
            const page = await withImage("edit", `&class=8&seed=3&outpaint=${outpaint}`);
            await paintLeft(page);
            const request = page.waitForRequest("**/api/edit");
            assert.match(await draw(page), /^Done in/);
            const [result] = await pixels(page, "#hero canvas");
            const sent = JSON.parse((await request).postData());
            const whole = await withImage("reconstruct");
            await draw(whole);
            const [kept] = await pixels(whole, "#hero canvas");
            assert.ok(equalWhere(result, kept, (x) => isLeft(x) === outpaint), "the kept part has changed");
            assert.ok(!equalWhere(result, kept, (x) => isLeft(x) !== outpaint), "nothing was made anew");
            const mask = beside("mask.png", Buffer.from(sent.mask, "base64"));
            const wants = edited(image, mask, "--class", 8, "--seed", 3, "--overlay", ...(outpaint ? ["--outpaint"] : []));
            assertSame([result], [await pixelsOf(page, wants)], "var edit makes another image");
            const [file] = await Promise.all([page.waitForEvent("download"), page.click("#download")]);
            assert.ok(readFileSync(await file.path()).equals(wants), "the PNG's bytes are not those of var edit");
            assert.deepEqual(page.faults, []);
        });
    }

    await test("a mask is painted by keys, undone, cleared and taken from a file", async () => {
        const page = await withImage("edit");
        const painted = () => page.textContent("#painter-said");
        await page.focus("#painter");
        await page.keyboard.press("ArrowRight");
        await page.keyboard.press("Space");
        assert.equal(await painted(), "row 1, column 2, painted");
        await page.keyboard.press("Shift+ArrowDown");
        assert.equal(await painted(), "row 2, column 2, painted");
        await page.keyboard.press("Control+z");
        assert.equal(await painted(), "1 cells are painted");
        await page.keyboard.press("Delete");
        assert.equal(await painted(), "nothing is painted");
        await page.click("#draw");
        await page.waitForSelector("#mask-error:not([hidden])");
        const white = await page.evaluate(async () => {
            const canvas = document.createElement("canvas");
            [canvas.width, canvas.height] = [90, 60];
            const context = canvas.getContext("2d");
            context.fillStyle = "#fff";
            context.fillRect(0, 0, 90, 60);
            return canvas.toDataURL().split(",")[1];
        });
        await page.setInputFiles("#mask-file", beside("white.png", Buffer.from(white, "base64")));
        await page.waitForFunction((text) => document.getElementById("painter-said").textContent === text, `${side * side} cells are painted`);
    });

    await test("the image is in sight after Draw, on a phone and beside a long form", async () => {
        for (const [width, height] of [[390, 844], [1200, 860]]) {
            const page = await withImage("edit", "&class=8&seed=3");
            await page.setViewportSize({ width, height });
            await paintLeft(page);
            await page.$eval("#seed", (field) => field.scrollIntoView({ block: "end" }));
            await draw(page);
            const { y } = await page.locator("#hero").boundingBox();
            assert.ok(y >= 0 && y < height / 2, `the image begins at ${y} of ${height}`);
        }
    });

    await test("an image is scored: classes by likelihood, tokens as a heat map", async () => {
        const page = await withImage("score");
        assert.match(await draw(page), /^Done in/);
        const bars = await page.$$eval("#bars meter", (meters) => meters.map(({ value }) => value));
        assert.ok(bars.length >= 2 && bars.every((value, at) => value <= (bars[at - 1] ?? 1)), bars.join());
        assert.equal(await page.locator("#heat canvas").count(), model.ladder.length);
        assert.deepEqual(page.faults, []);
    });

    await test("a drawn image is edited further", async () => {
        const page = await open({}, "#class=3&seed=5");
        await ready(page);
        await draw(page);
        await page.click("#use");
        await page.waitForSelector("#painter.paints");
        assert.match(await page.textContent("#preview-note"), new RegExp(`${model.side} × ${model.side} pixels`));
    });

    await test("files that cannot be used are refused in words", async () => {
        const page = await open({}, "#task=reconstruct");
        await ready(page);
        await page.click("#draw");
        await page.waitForSelector("#image-error:not([hidden])");
        for (const [name, bytes, wants] of [
            ["huge.png", declared(10_000, 10_000, chunk("IDAT", deflateSync("0")), chunk("IEND", Buffer.alloc(0))), /10000 × 10000 .* at most \d+ pixels/],
            ["notes.txt", Buffer.from("milk, bread"), /image/],
            ["half.png", readFileSync(image).subarray(0, 200), /image/],
        ]) {
            await drop(page, name, bytes);
            await page.waitForFunction((name) => document.getElementById("preview-note").textContent.startsWith(`${name}: `), name);
            await page.click("#draw");
            await page.waitForSelector("#image-error:not([hidden])");
            assert.match(await page.textContent("#image-error"), wants, name);
        }
        assert.deepEqual(page.faults, []);
    });
});
