// `var serve` on a port of its own, and the files that the binary makes for the same requests.

import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const place = mkdtempSync(join(tmpdir(), "var-serve-"));
process.on("exit", () => rmSync(place, { recursive: true }));

/** Starts the server; its address, and a function that ends it. */
export function serve(...options) {
    const server = spawn(process.env.VAR_BINARY, ["serve", "--port", "0", ...options], { stdio: ["ignore", "pipe", "pipe"] });
    process.on("exit", () => server.kill());
    return new Promise((resolve, reject) => {
        let said = "";
        const hear = (text) => {
            said += text;
            const [url] = /http:\/\/[^\s/]+\//.exec(said) ?? [];
            const end = () => new Promise((ended) => server.once("exit", ended) && server.kill());
            if (url) resolve({ url, end });
        };
        for (const pipe of [server.stdout, server.stderr]) pipe.setEncoding("utf8").on("data", hear);
        server.on("exit", (code) => reject(new Error(`var serve ended with ${code}: ${said}`)));
    });
}

/** A file of the user's. */
export function beside(name, bytes) {
    const path = join(place, name);
    writeFileSync(path, Buffer.from(bytes));
    return path;
}

function run(...options) {
    return execFileSync(process.env.VAR_BINARY, [...options, "--quiet"], { stdio: ["ignore", "pipe", "inherit"], encoding: "utf8" });
}

/** The file that `var sample` makes of one image, and its images after every scale. */
export function sampled(label, seed, ...options) {
    const folder = mkdtempSync(join(place, "sampled-"));
    run("sample", "--class", label, "--count", 1, "--seed", seed, ...options, "-o", join(folder, "images/"), "--progressive", join(folder, "scales"));
    const files = (under) => readdirSync(join(folder, under)).filter((name) => name.endsWith(".png")).sort().map((name) => join(folder, under, name));
    const [path] = files("images");
    return { path, scales: files("scales").map((name) => readFileSync(name)) };
}

/** The file that `var edit` makes. */
export function edited(image, mask, ...options) {
    const path = join(mkdtempSync(join(place, "edited-")), "edited.png");
    run("edit", image, "--mask", mask, ...options, "-o", path);
    return readFileSync(path);
}

/** A PNG file up to its pixels: of a size that it declares, and further chunks. */
export function declared(width, height, ...chunks) {
    const header = Buffer.alloc(13);
    header.writeUInt32BE(width);
    header.writeUInt32BE(height, 4);
    header.set([8, 2, 0, 0, 0], 8);
    return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), chunk("IHDR", header), ...chunks]);
}

/** A chunk of a PNG file. */
export function chunk(type, data) {
    const bytes = Buffer.concat([Buffer.alloc(4), Buffer.from(type), data, Buffer.alloc(4)]);
    bytes.writeUInt32BE(data.length);
    bytes.writeInt32BE(checksum(bytes.subarray(4, -4)), bytes.length - 4);
    return bytes;
}

/** CRC-32, as PNG's chunks have it. */
function checksum(bytes) {
    let remainder = -1;
    for (const byte of bytes) {
        remainder ^= byte;
        for (let bit = 0; bit < 8; bit += 1) remainder = (remainder >>> 1) ^ (remainder & 1 ? 0xedb88320 : 0);
    }
    return ~remainder;
}
