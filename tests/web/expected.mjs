// The images that the binary draws after every scale, and files for the page to open.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inflateSync } from "node:zlib";

/** The folder that build.sh has made, with a model of 32 × 32 images of clothes in ten classes. */
export const PAGE = process.env.VAR_PAGE;
/** The built-in model's file. */
export const BUILT_IN = new URL("../../var-host/src/model/default.safetensors", import.meta.url).pathname;
const place = mkdtempSync(join(tmpdir(), "var-web-"));
process.on("exit", () => rmSync(place, { recursive: true }));

export const CLASSES = [3, 8];
export const SEEDS = [0n, 1n, 5n, 77n, 2n ** 64n - 1n];

function run(...options) {
    execFileSync(process.env.VAR_BINARY, [...options, "--quiet"], { stdio: ["ignore", "ignore", "inherit"] });
}

/** RGB bytes of the images after every scale, as `var sample` draws them. */
export function drawn(label, seed, ...options) {
    const folder = mkdtempSync(join(place, "drawn-"));
    const model = options.includes("--model") ? [] : ["--model", join(PAGE, "model.safetensors")];
    run("sample", "--class", label, "--count", 1, "--seed", seed, ...model, ...options, "--progressive", folder, "--force", "-o", `${folder}.png`);
    const name = (scale) => join(folder, `000000-class${label}-scale0${scale}.png`);
    const scales = readdirSync(folder).filter((file) => file.endsWith(".png")).length;
    const images = Array.from({ length: scales }, (_, scale) => pixels(readFileSync(name(scale))));
    if (!images.at(-1).equals(pixels(readFileSync(`${folder}.png`)))) throw new Error("the last scale is not the image");
    return images;
}

/** A model file with other weights than the page's, and a checksum. */
export function converted() {
    const path = join(place, "own.safetensors");
    run("convert", "--model", join(PAGE, "model.safetensors"), "--dtype", "q8", "-o", path);
    return path;
}

/** Bytes of a file beside the others of a test. */
export function beside(name, bytes) {
    return { name, mimeType: "application/octet-stream", buffer: Buffer.from(bytes) };
}

/** RGB bytes of a PNG of 8 bits without a palette. */
function pixels(file) {
    const parts = [];
    let [at, width, height] = [8, 0, 0];
    while (at < file.length) {
        const [length, kind] = [file.readUInt32BE(at), file.toString("latin1", at + 4, at + 8)];
        const data = file.subarray(at + 8, at + 8 + length);
        if (kind === "IHDR") [width, height] = [data.readUInt32BE(0), data.readUInt32BE(4)];
        if (kind === "IDAT") parts.push(data);
        at += 12 + length;
    }
    const rows = inflateSync(Buffer.concat(parts));
    const line = 3 * width;
    const out = Buffer.alloc(line * height);
    for (let y = 0; y < height; y += 1) {
        const filter = rows[y * (line + 1)];
        for (let x = 0; x < line; x += 1) {
            const left = x < 3 ? 0 : out[y * line + x - 3];
            const above = y === 0 ? 0 : out[(y - 1) * line + x];
            const corner = x < 3 || y === 0 ? 0 : out[(y - 1) * line + x - 3];
            const guess = [0, left, above, (left + above) >> 1, paeth(left, above, corner)][filter];
            out[y * line + x] = rows[y * (line + 1) + 1 + x] + guess;
        }
    }
    return out;
}

function paeth(left, above, corner) {
    const [a, b, c] = [left, above, corner].map((value) => Math.abs(left + above - corner - value));
    return a <= b && a <= c ? left : b <= c ? above : corner;
}
