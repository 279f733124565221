// The served page in Chromium: without a mouse, for screen readers, on small screens, in the dark; its pictures.

import assert from "node:assert/strict";
import { test } from "node:test";

import { AXE, draw, over, ready, withPage } from "./page_browser.mjs";
import { sampled } from "./page_server.mjs";

await withPage(async (open, url) => {
    /** Views of the page, each with a function that leads there. */
    const VIEWS = {
        start: ["", async () => {}],
        options: ["", (page) => page.focus("#class-search")],
        images: ["#class=3,8&count=2&seed=5", draw],
        refused: ["#class=3&cfg=100000", async (page) => {
            await page.click("#draw");
            await page.waitForSelector("#cfg-error:not([hidden])");
        }],
        edit: ["#task=edit", async (page) => {
            await page.setInputFiles("#file", sampled(3, 5).path);
            await page.focus("#painter");
            await page.keyboard.press("Space");
        }],
        scores: ["#task=score", async (page) => {
            await page.setInputFiles("#file", sampled(3, 5).path);
            await draw(page);
        }],
        api: ["", (page) => page.click("#tab-api")],
    };

    for (const colorScheme of ["light", "dark"]) {
        await test(`${colorScheme}: axe finds nothing, and a phone is wide enough`, async () => {
            for (const [name, [fragment, lead]] of Object.entries(VIEWS)) {
                const page = await open({ colorScheme, bypassCSP: true, viewport: { width: 320, height: 800 } }, fragment);
                await ready(page);
                await lead(page);
                await page.addScriptTag({ path: AXE });
                const { violations, passes } = await page.evaluate(() => axe.run());
                assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]), [], name);
                assert.ok(passes.length > 20, `${passes.length} rules were looked at`);
                const width = await page.evaluate(() => document.documentElement.scrollWidth);
                assert.ok(width <= 320, `${name}: ${width} pixels wide`);
            }
        });
    }

    await test("the keyboard is enough: class, seed, run, look back, download, history", async () => {
        const page = await open();
        await ready(page);
        const press = async (...keys) => { for (const key of keys) await page.keyboard.press(key); };
        const focused = () => page.evaluate(() => document.activeElement.id);
        /** Goes on by tabs to an element. */
        const reach = async (id) => {
            for (let tabs = 0; tabs < 60; tabs += 1) {
                if ((await focused()) === id) return;
                await press("Tab");
            }
            assert.fail(`#${id} is not reached, ${await focused()} is`);
        };
        await reach("class-search");
        await press("ArrowDown", "ArrowDown", "Enter", "ArrowDown", "Enter", "Escape");
        assert.equal(await page.locator("#chosen li").count(), 2);
        await press("Backspace");
        assert.equal(await page.locator("#chosen li").count(), 1);
        await reach("seed");
        await press("Control+a");
        await page.keyboard.type("12");
        await press("Enter");
        assert.match(await over(page), /^Done in/);
        await page.focus("#draw");
        await page.evaluate(() => { document.querySelector("#scales input:checked").id = "now"; });
        await reach("now");
        await press("ArrowLeft");
        const scales = await page.locator("#scales input").count();
        assert.match(await page.getAttribute("#hero canvas", "aria-label"), new RegExp(`seed 12, after scale ${scales - 1} of ${scales}`));
        await page.focus("#tab-class");
        await press("ArrowRight");
        assert.ok(await page.isVisible("#own"));
        await press("ArrowRight");
        assert.ok(await page.isVisible("#api"));
        await press("Home");
        await page.focus("#settings-file");
        await press("Tab");
        assert.ok(await page.evaluate(() => document.activeElement.closest("#history-list") !== null));
        await press("Enter");
        assert.equal(await page.inputValue("#seed"), "12");
        assert.deepEqual(page.faults, []);
    });

    await test("colors are chosen, and kept", async () => {
        const page = await open();
        await ready(page);
        const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
        const light = await paper();
        await page.click("#appearance");
        assert.equal(await page.getAttribute("html", "data-appearance"), "dark");
        assert.notEqual(await paper(), light);
        await page.reload();
        assert.equal(await page.getAttribute("html", "data-appearance"), "dark");
    });

    await test("the API's lines are those of the form, and work in a shell", async () => {
        const page = await open({}, "#class=3&seed=18446744073709551615");
        await ready(page);
        await page.click("#tab-api");
        const lines = await page.textContent("#curl");
        assert.match(lines, /"seed":18446744073709551615/);
        const { execFileSync } = await import("node:child_process");
        try {
            execFileSync("curl", ["--version"], { stdio: "ignore" });
        } catch {
            return console.log("skipped: no curl");
        }
        // Without the last line, which cancels.
        const script = lines.split("\n").slice(0, -1).join("\n").replace("image.png", "/dev/null");
        const said = execFileSync("bash", ["-ec", script], { encoding: "utf8" });
        assert.match(said, /event: ?done/);
    });

    // The README's: VAR_SCREENSHOT names its file.
    await test("picture of the page is small, and has its images on the first screen", async () => {
        const all = await (await fetch(`${url}api/classes`)).json();
        const labels = ["cat face", "heart", "clock"].map((name) => all.findIndex((known) => JSON.stringify(known).includes(name)));
        assert.ok(labels.every((label) => label >= 0), `${labels}`);
        const settings = "cfg=4&top_k=60&top_p=0.9&more_smooth=true&seed=7";
        const page = await open({ viewport: { width: 1200, height: 800 } }, `#class=${labels}&${settings}`);
        await ready(page);
        await draw(page);
        for (const selector of ["#hero button:last-child", "#scales label:last-child", "#history-list li:first-child"]) {
            const { y, height } = await page.locator(selector).boundingBox();
            assert.ok(y >= 0 && y + height <= 800, `${selector} ends at ${y + height}`);
        }
        const picture = await page.screenshot({ path: process.env.VAR_SCREENSHOT });
        assert.ok(picture.length < 250_000, `${picture.length} bytes`);
    });
});
