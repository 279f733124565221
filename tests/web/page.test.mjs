// The page in Chromium, as a user has it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { AXE, draw, pixels, settled, withBrowser } from "./browser.mjs";
import { CLASSES, PAGE, SEEDS, beside, converted, drawn } from "./expected.mjs";

await withBrowser(async (open) => {
    for (const set of ["relaxed", "simd"]) {
        await test(`${set}: the page draws the bytes of var sample, after every scale`, async () => {
            const page = await open({}, `?set=${set}`);
            assert.match(await settled(page), /^Ready after/);
            for (const label of CLASSES) {
                for (const seed of SEEDS) {
                    assert.match(await draw(page, label, seed), /^Drawn in/);
                    const wants = drawn(label, seed);
                    assert.deepEqual(await pixels(page, "#scales canvas"), wants, `class ${label}, seed ${seed}`);
                    assert.deepEqual(await pixels(page, "#image"), wants.slice(3));
                }
            }
        });

        await test(`${set}: Stop ends a run after a scale`, async () => {
            const page = await open({}, `?set=${set}`);
            await settled(page);
            await page.evaluate(() => {
                const stop = () => document.querySelectorAll("#scales li").length === 1 && document.getElementById("stop").click();
                new MutationObserver(stop).observe(document.getElementById("scales"), { childList: true });
            });
            assert.equal(await draw(page, 3, 5), "Stopped after scale 2 of 4.");
            const wants = drawn(3, 5);
            assert.deepEqual(await pixels(page, "#scales canvas"), wants.slice(0, 2));
            assert.deepEqual(await pixels(page, "#image"), [wants[1]]);
        });

        await test(`${set}: time of one image`, async () => {
            const page = await open();
            await settled(page);
            const best = await page.evaluate(async (set) => {
                const { Model, compile } = await import("./var.mjs");
                const model = await Model.open(await compile(set), "model.safetensors");
                let best = Infinity;
                for (let round = 0; round < 8; round += 1) {
                    const start = performance.now();
                    for (const step of model.sample(3, { seed: 5 })) if (step.scale + 1 === step.scales) step.image();
                    best = Math.min(best, performance.now() - start);
                }
                return best;
            }, set);
            const limit = set === "relaxed" ? 150 : 1000;
            console.log(`${set}: ${best.toFixed(0)} ms an image in Chromium, ${limit} wanted`);
            assert.ok(best < 5 * limit, "far beyond the limit, even for a busy machine");
        });
    }

    await test("without a wish the fastest module is taken", async () => {
        const page = await open();
        await settled(page);
        assert.match(await page.textContent("#about"), /WebAssembly with relaxed SIMD/);
    });

    await test("files that are no model are refused in words, and the model stays", async () => {
        const page = await open();
        await settled(page);
        const model = readFileSync(`${PAGE}/model.safetensors`);
        for (const [file, wants] of [
            [beside("notes.txt", "milk, bread"), 'notes.txt: not a checkpoint but a text, which begins with "milk, bread"'],
            [beside("half.safetensors", model.subarray(0, 1_000_000)), "half.safetensors: safetensors file holds 976656 bytes of tensors, its header describes 4113628"],
            [beside("photo.jpg", [0xff, 0xd8, 0xff, 0xe0, 0, 16]), "photo.jpg: not a checkpoint but a JPEG image"],
        ]) {
            await page.setInputFiles("#file", file);
            assert.equal(await settled(page), "The model before it is still in use.");
            assert.ok((await page.textContent("#failure")).startsWith(wants), await page.textContent("#failure"));
        }
        assert.match(await draw(page, 8, 1), /^Drawn in/);
        assert.ok(await page.isHidden("#failure"));
        assert.deepEqual(await pixels(page, "#image"), drawn(8, 1).slice(3));
    });

    await test("a model file of the user's own is opened from disk, and the built-in one again", async () => {
        const page = await open();
        await settled(page);
        const path = converted();
        await page.setInputFiles("#file", path);
        assert.match(await settled(page), /^Ready after/);
        assert.match(await page.textContent("#about"), /^own.safetensors: 32 × 32 images, depth 2, width 128, 10 classes; 4 scales/);
        await draw(page, 8, 3);
        assert.deepEqual(await pixels(page, "#scales canvas"), drawn(8, 3, "--model", path));
        await page.click("#built-in");
        await settled(page);
        await draw(page, 8, 3);
        assert.deepEqual(await pixels(page, "#scales canvas"), drawn(8, 3));
    });

    await test("a file is dropped on the page", async () => {
        const page = await open();
        await settled(page);
        await page.evaluate(() => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File(["milk, bread"], "dropped.txt"));
            document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
        });
        await settled(page);
        assert.match(await page.textContent("#failure"), /^dropped.txt: not a checkpoint but a text/);
    });

    await test("a module or model that is not there is named", async () => {
        for (const name of ["var-relaxed.wasm", "model.safetensors"]) {
            const page = await open({}, "", (page) => page.route(`**/${name}`, (route) => route.fulfill({ status: 404 })));
            assert.equal(await settled(page), "No model is in use.");
            assert.match(await page.textContent("#failure"), new RegExp(`/${name}: 404`));
        }
    });

    await test("settings are sent, and checked by the form", async () => {
        const page = await open();
        await settled(page);
        await page.click("summary");
        await page.fill("#cfg", "4");
        await page.fill("#temperature", "0.7");
        await page.fill("#top-k", "20");
        await page.fill("#top-p", "0.5");
        await page.check("#smooth");
        await draw(page, 8, 2);
        const options = ["--cfg", "4", "--temperature", "0.7", "--top-k", "20", "--top-p", "0.5", "--more-smooth"];
        assert.deepEqual(await pixels(page, "#scales canvas"), drawn(8, 2, ...options));
        await page.fill("#top-p", "1.5");
        await page.click("#draw");
        assert.equal(await page.$eval("#top-p", (input) => input.validity.rangeOverflow && input === document.activeElement), true);
    });

    await test("the image is saved as PNG", async () => {
        const page = await open();
        await settled(page);
        await draw(page, 9, 7);
        const [download] = await Promise.all([page.waitForEvent("download"), page.click("#download")]);
        assert.equal(download.suggestedFilename(), "var-ankle-boot-7.png");
        assert.equal(readFileSync(await download.path()).toString("latin1", 1, 4), "PNG");
    });

    await test("the keyboard is enough", async () => {
        const page = await open();
        await settled(page);
        await page.focus("#class");
        await page.keyboard.type("bag");
        await page.keyboard.press("Tab");
        await page.keyboard.type("12");
        await page.keyboard.press("Enter");
        assert.match(await settled(page), /^Drawn in/);
        assert.equal(await page.getAttribute("#image", "aria-label"), "bag, seed 12, after scale 4 of 4");
    });

    for (const colorScheme of ["light", "dark"]) {
        await test(`${colorScheme}: axe finds nothing, and a phone is wide enough`, async () => {
            const page = await open({ colorScheme, bypassCSP: true, viewport: { width: 320, height: 700 } });
            await settled(page);
            await page.click("summary");
            await draw(page, 8, 5);
            await page.setInputFiles("#file", beside("notes.txt", "milk, bread"));
            await settled(page);
            await page.addScriptTag({ path: AXE });
            const { violations, passes } = await page.evaluate(() => axe.run());
            assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map((node) => node.html)]), []);
            assert.ok(passes.length > 20, `${passes.length} rules were looked at`);
            const width = await page.evaluate(() => document.documentElement.scrollWidth);
            assert.ok(width <= 320, `${width} pixels wide`);
        });
    }
});
