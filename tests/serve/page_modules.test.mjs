// Modules of the page that need no browser.

import assert from "node:assert/strict";
import { test } from "node:test";
import { deflateSync } from "node:zlib";

import { jsonOf } from "../../var-cli/serve/page/api.mjs";
import { named, search } from "../../var-cli/serve/page/classes.mjs";
import { curl } from "../../var-cli/serve/page/curl.mjs";
import { EventParser } from "../../var-cli/serve/page/events.mjs";
import { arrangement, wholeMultiple } from "../../var-cli/serve/page/fit.mjs";
import { Mask } from "../../var-cli/serve/page/mask.mjs";
import { settingsOf } from "../../var-cli/serve/page/parameters.mjs";
import { readTexts, sizeOf } from "../../var-cli/serve/page/png.mjs";
import { body, defaults, fromFragment, isSeed, toFragment } from "../../var-cli/serve/page/settings.mjs";
import { colorOf } from "../../var-cli/serve/page/tokens.mjs";
import { chunk, declared } from "./page_server.mjs";

const USUAL = defaults({ cfg: 1.5, temperature: 1, top_k: 900, top_p: 0.96, more_smooth: false });

const png = (...chunks) => new Blob([declared(1, 1, ...chunks, chunk("IDAT", Buffer.alloc(0)))]);

test("texts of a PNG file are read in all three forms", async () => {
    const file = png(
        chunk("tEXt", Buffer.from("seed\x007")),
        chunk("zTXt", Buffer.concat([Buffer.from("command\0\0"), deflateSync("sample")])),
        chunk("iTXt", Buffer.from("class_name\0\0\0\0\0cat face, 🐱")),
        chunk("iTXt", Buffer.concat([Buffer.from("model\0\x01\0de\0Modell\0"), deflateSync("größer")])),
    );
    assert.deepEqual(await readTexts(file), { seed: "7", command: "sample", class_name: "cat face, 🐱", model: "größer" });
    assert.deepEqual(await sizeOf(new Blob([declared(10_000, 300)])), [10_000, 300]);
    assert.equal(await sizeOf(new Blob(["GIF89a, and so on for a while"])), null);
});

test("PNG files that are none, cut off or too long are refused in words", async () => {
    const long = chunk("zTXt", Buffer.concat([Buffer.from("command\0\0"), deflateSync(Buffer.alloc(3 << 20, "0"))]));
    for (const [file, wants] of [
        [new Blob(["milk, bread"]), "not a PNG file"],
        [png(chunk("tEXt", Buffer.from("seed\x007"))).slice(0, 40), "the PNG file is cut off"],
        [png(chunk("tEXt", Buffer.from("seed"))), "the PNG file has a text without a keyword"],
        [png(long), "the PNG file has texts of more than 1048576 bytes"],
    ]) {
        await assert.rejects(readTexts(file), { message: wants });
    }
});

test("parameters of an image become settings that make it again", () => {
    const texts = { Software: "var", command: "sample", seed: "18446744073709551615", cfg: "4", top_k: "20", top_p: "0.5", more_smooth: "true", class: "3", index: "2" };
    const wants = { task: "sample", seed: "18446744073709551615", cfg: 4, top_k: 20, top_p: 0.5, more_smooth: true, classes: [3], first_index: 2, count: 1 };
    assert.deepEqual(settingsOf(texts), wants);
    const grid = { Software: "var", command: "sample", seed: "1", class: "3,3,8,8", index: "0..4" };
    assert.deepEqual(settingsOf(grid), { task: "sample", seed: "1", classes: [3, 8], first_index: 0, count: 2 });
    const uneven = { Software: "var", command: "sample", seed: "1", class: "3,3,8", index: "0..3" };
    assert.deepEqual(settingsOf(uneven), { task: "sample", seed: "1", classes: [3, 3, 8], first_index: 0, count: 1 });
    assert.throws(() => settingsOf({ Software: "GIMP" }), { message: "the PNG file has no parameters of var" });
    assert.throws(() => settingsOf({ Software: "var", command: "plot" }), /made by var plot/);
});

test("settings go into the address and come back", () => {
    const settings = { ...USUAL, task: "edit", classes: [3, 8], seed: "18446744073709551615", cfg: 4.5, count: 3, more_smooth: true, outpaint: true, overlay: false };
    const fragment = toFragment(settings, USUAL);
    assert.equal(fragment, "task=edit&class=3,8&seed=18446744073709551615&count=3&cfg=4.5&more_smooth=true&outpaint=true&overlay=false");
    assert.deepEqual({ ...USUAL, ...fromFragment(`#${fragment}`) }, settings);
    assert.deepEqual(fromFragment("#task=format&class=x,-1&seed=18446744073709551616&cfg=much&top_k=&more_smooth=maybe"), { classes: [] });
    for (const [text, wants] of [["0", true], ["18446744073709551615", true], ["18446744073709551616", false], ["", false], ["-1", false], ["1e3", false]]) {
        assert.equal(isSeed(text), wants, text);
    }
});

test("a seed keeps all its digits in a request", () => {
    const settings = { ...USUAL, classes: [3], seed: "18446744073709551615" };
    assert.ok(jsonOf(body(settings)).includes('"seed":18446744073709551615,'));
    assert.ok(curl(settings, "http://127.0.0.1:8400", "").includes('"seed":18446744073709551615,'));
});

test("events are read whatever the pieces they come in", () => {
    const text = 'event: queued\nid: 0\ndata: {"place":1}\n\n: keep-alive\n\nevent: done\r\nid: 1\r\ndata: {"name":\r\ndata: "größer"}\r\n\r\n';
    const wants = [{ name: "queued", id: "0", data: { place: 1 } }, { name: "done", id: "1", data: { name: "größer" } }];
    for (let cut = 0; cut <= text.length; cut += 1) {
        const parser = new EventParser();
        assert.deepEqual([...parser.push(text.slice(0, cut)), ...parser.push(text.slice(cut))], wants, `cut at ${cut}`);
    }
});

test("classes are found by number, sign and any name, the best first", () => {
    const names = ["tench, Tinca tinca", "cat face, 🐱", "tiger cat", "cathedral", "❤, heart", "wildcat"];
    const all = names.map((name, label) => named({ label, name }));
    assert.deepEqual(all.map(({ title, sign }) => [title, sign]), [["tench", ""], ["cat face", "🐱"], ["tiger cat", ""], ["cathedral", ""], ["heart", "❤"], ["wildcat", ""]]);
    const found = (query) => search(all, query).map(({ label }) => label);
    assert.deepEqual(found("cat"), [1, 3, 2, 5]);
    assert.deepEqual(found("🐱"), [1]);
    assert.deepEqual(found(" TINCA "), [0]);
    assert.deepEqual(found("5"), [5]);
    assert.deepEqual(found("dog"), []);
    assert.equal(found("").length, 6);
});

test("codes have colors of their own that are bytes", () => {
    const colors = Array.from({ length: 4096 }, (_, code) => colorOf(code));
    assert.ok(colors.flat().every((value) => Number.isInteger(value) && value >= 0 && value <= 255));
    assert.ok(new Set(colors.map(String)).size > 4000);
});

test("a mask is painted, boxed, cleared and undone", () => {
    const mask = new Mask(4);
    const rows = () => [0, 4, 8, 12].map((at) => [...mask.cells.slice(at, at + 4)].join(""));
    mask.begin();
    mask.spot(0, 0, 3, true);
    assert.deepEqual(rows(), ["1100", "1100", "0000", "0000"]);
    mask.begin();
    mask.box([3, 3], [2, 1]);
    assert.deepEqual(rows(), ["1100", "1100", "0111", "0111"]);
    mask.begin();
    mask.spot(1, 1, 1, false);
    assert.equal(mask.painted, 9);
    mask.clear();
    assert.equal(mask.painted, 0);
    for (const painted of [9, 10, 4, 0]) {
        mask.undo();
        assert.equal(mask.painted, painted);
    }
    assert.ok(!mask.undoable);
});

test("a mask of an image has the cells that are more white than black", () => {
    const data = new Uint8ClampedArray(8 * 8 * 4);
    for (let pixel = 0; pixel < 64; pixel += 1) data.fill(pixel % 8 < 3 ? 255 : 0, pixel * 4, pixel * 4 + 4);
    const mask = new Mask(4);
    mask.read({ data, width: 8 });
    assert.deepEqual([...mask.cells.slice(0, 4)], [1, 0, 0, 0]);
    assert.equal(mask.painted, 4);
});

test("images fill the room in whole multiples of their pixels", () => {
    assert.equal(wholeMultiple(500, 64, 1), 448);
    assert.equal(wholeMultiple(500, 64, 2), 480);
    assert.equal(wholeMultiple(300, 512, 1), 300);
    const at = (count) => arrangement(count, { width: 760, height: 430 }, { pixels: 64, density: 1 });
    assert.deepEqual(at(1), { side: 384, columns: 1, empty: 0 });
    assert.equal(at(4).columns * 2, 4);
    assert.equal(at(6).columns, 3);
    for (const count of [1, 2, 3, 5, 7, 16, 64]) {
        const { side, columns } = at(count);
        assert.ok(side * columns + 12 * (columns - 1) <= 760, `${count} images`);
    }
});
