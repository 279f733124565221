// Times one image of a page's model in Node and in Chromium, both modules, and prints them as JSON: `node tests/web/times.mjs`, with the
// variables that `.ci/run browser` sets.

import { readFileSync, statSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { setFlagsFromString } from "node:v8";
import { gzipSync } from "node:zlib";

import { settled, withBrowser } from "./browser.mjs";
import { PAGE } from "./expected.mjs";

const ROUNDS = 15;
const { Model, instructionSet } = await import(pathToFileURL(`${PAGE}/var.mjs`));
if (instructionSet() !== "relaxed") setFlagsFromString("--experimental-wasm-relaxed-simd");

/** Milliseconds of the fastest of some images, without those on the way. */
function fastest(model, rounds) {
    let least = Infinity;
    for (let round = 0; round <= rounds; round += 1) {
        const start = performance.now();
        for (const step of model.sample(3, { seed: 5 })) if (step.scale + 1 === step.scales) step.image();
        // The first is slower: the engine compiles the module for speed.
        if (round > 0) least = Math.min(least, performance.now() - start);
    }
    return Math.round(least);
}

const results = [];
await withBrowser(async (open) => {
    for (const set of ["relaxed", "simd"]) {
        const wasm = readFileSync(`${PAGE}/var-${set}.wasm`);
        const model = await Model.open(await WebAssembly.compile(wasm), readFileSync(`${PAGE}/model.safetensors`), "the model");
        const page = await open();
        await settled(page);
        const inPage = await page.evaluateHandle(async (set) => {
            const { Model, compile } = await import("./var.mjs");
            return Model.open(await compile(set), "model.safetensors");
        }, set);
        const chromium = await inPage.evaluate(fastest, ROUNDS);
        const name = set === "relaxed" ? "relaxed SIMD" : "SIMD";
        results.push({ case: name, bytes: statSync(`${PAGE}/var-${set}.wasm`).size, gzip: gzipSync(wasm).length, node: fastest(model, ROUNDS), chromium });
    }
});
console.log(JSON.stringify(results, null, 1));
