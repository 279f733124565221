// Chromium with the served page.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

import { serve } from "./page_server.mjs";

const modules = createRequire(`${process.env.VAR_BROWSER_MODULES}/package.json`);
const { chromium } = modules("playwright-core");
export const AXE = modules.resolve("axe-core/axe.min.js");

// Nothing that Chromium does beside showing the page.
const ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** Calls `work` with a function that opens the page, and the server's address. */
export async function withPage(work, ...options) {
    const server = await serve(...options);
    const browser = await chromium.launch({ executablePath: process.env.VAR_CHROMIUM, args: ARGUMENTS });
    try {
        await work(async (options = {}, fragment = "", prepare = () => {}) => {
            const context = await browser.newContext({ viewport: { width: 1200, height: 860 }, reducedMotion: "reduce", ...options });
            const page = await context.newPage();
            page.setDefaultTimeout(60_000);
            page.faults = [];
            // Refused requests are the tests' own; anything else is a fault, a policy's too.
            page.on("console", (line) => line.type() === "error" && !/status of 4\d\d/.test(line.text()) && page.faults.push(line.text()));
            page.on("pageerror", (error) => page.faults.push(error.stack));
            page.on("request", (request) => /^(blob:)?http:\/\/127\.0\.0\.1/.test(request.url()) || page.faults.push(`asks ${request.url()}`));
            await prepare(page);
            await page.goto(server.url + fragment);
            return page;
        }, server.url);
    } finally {
        await browser.close();
        await server.end();
    }
}

/** Waits until the model's classes are there. */
export const ready = (page) => page.waitForFunction(() => /Search \d/.test(document.getElementById("class-search").placeholder));

/** Waits until the newest job is over; the status's last line. */
export async function over(page) {
    await page.waitForFunction(() => document.getElementById("stop").disabled && /^(Done|Stopped|Nothing)/.test(document.getElementById("status").textContent));
    return page.textContent("#status");
}

/** Draws, by pointer; the status's last line. */
export async function draw(page) {
    await page.evaluate(() => { document.getElementById("status").textContent = ""; });
    await page.click("#draw");
    return over(page);
}

/** RGB bytes of the canvases that a selector finds, as text. */
export function pixels(page, selector) {
    return page.$$eval(selector, (canvases) => canvases.map((canvas) => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return [...data].filter((_, at) => at % 4 < 3).join();
    }));
}

/** RGB bytes of an image file, as the browser reads them, as text. */
export function pixelsOf(page, file) {
    return page.evaluate(async (base64) => {
        const bitmap = await createImageBitmap(new Blob([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))]));
        const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
        context.drawImage(bitmap, 0, 0);
        const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
        return [...data].filter((_, at) => at % 4 < 3).join();
    }, Buffer.from(file).toString("base64"));
}

/** Asserts that images are equal, without their pixels in the message. */
export function assertSame(images, wanted, message) {
    assert.equal(images.length, wanted.length, message);
    for (const [at, image] of images.entries()) assert.ok(image === wanted[at], `image ${at + 1} of ${wanted.length}: ${message}`);
}

/** Drops a file on the page. */
export function drop(page, name, bytes) {
    return page.evaluate(({ name, base64 }) => {
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], name));
        document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
    }, { name, base64: Buffer.from(bytes).toString("base64") });
}
