// Chromium with the page, served from its folder.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { extname, join } from "node:path";

import { PAGE } from "./expected.mjs";

const modules = createRequire(`${process.env.VAR_BROWSER_MODULES}/package.json`);
const { chromium } = modules("playwright-core");
export const AXE = modules.resolve("axe-core/axe.min.js");

const TYPES = { ".html": "text/html", ".mjs": "text/javascript", ".css": "text/css", ".wasm": "application/wasm" };
// Nothing that Chromium does beside showing the page.
const ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** Calls `work` with a function that opens the page. */
export async function withBrowser(work) {
    const server = createServer(async ({ url }, response) => {
        const name = new URL(url, "http://here").pathname.slice(1) || "index.html";
        try {
            const bytes = await readFile(join(PAGE, name));
            response.writeHead(200, { "content-type": TYPES[extname(name)] ?? "application/octet-stream" }).end(bytes);
        } catch {
            response.writeHead(404).end();
        }
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = `http://127.0.0.1:${server.address().port}/`;
    const browser = await chromium.launch({ executablePath: process.env.VAR_CHROMIUM, args: ARGUMENTS });
    try {
        await work(async (options = {}, query = "", prepare = () => {}) => {
            const page = await (await browser.newContext(options)).newPage();
            // A fault that nobody sees is one all the same.
            page.on("pageerror", (error) => { throw error; });
            await prepare(page);
            await page.goto(address + query);
            return page;
        });
    } finally {
        await browser.close();
        server.close();
    }
}

/** Waits until the model is there, or refused. */
export async function settled(page) {
    await page.waitForFunction(() => !document.getElementById("file").disabled);
    return page.textContent("#status");
}

/** Draws as a user does; the last line of the status. */
export async function draw(page, label, seed) {
    await page.selectOption("#class", String(label));
    await page.fill("#seed", String(seed));
    await page.click("#draw");
    return settled(page);
}

/** RGB bytes of the canvases that a selector finds. */
export async function pixels(page, selector) {
    const images = await page.$$eval(selector, (canvases) => canvases.map((canvas) => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return [...data].filter((_, at) => at % 4 < 3);
    }));
    return images.map((image) => Buffer.from(image));
}
