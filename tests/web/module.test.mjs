// The modules and var.mjs in Node, without a browser: bytes, errors, sizes, times.

import assert from "node:assert/strict";
import { readFileSync, statSync } from "node:fs";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { setFlagsFromString } from "node:v8";

import { BUILT_IN, CLASSES, PAGE, SEEDS, converted, drawn } from "./expected.mjs";

const { Model, instructionSet, rgba } = await import(pathToFileURL(`${PAGE}/var.mjs`));
if (instructionSet() !== "relaxed") setFlagsFromString("--experimental-wasm-relaxed-simd");

const small = readFileSync(`${PAGE}/model.safetensors`);
const compiled = (set) => WebAssembly.compile(readFileSync(`${PAGE}/var-${set}.wasm`));

/** Tokens of all scales and the image after the last. */
function whole(steps) {
    const out = { tokens: [], image: null };
    for (const step of steps) {
        out.tokens.push(...step.tokens());
        if (step.scale + 1 === step.scales) out.image = step.image();
    }
    return out;
}

test("the probe sends an engine to a module it runs", (t) => {
    assert.match(instructionSet(), /^(relaxed|simd)$/);
    const validate = t.mock.method(WebAssembly, "validate", (bytes) => bytes.length !== 59);
    assert.equal(instructionSet(), "simd", "without relaxed SIMD");
    validate.mock.mockImplementation(() => false);
    assert.throws(instructionSet, /no SIMD in WebAssembly/);
    validate.mock.restore();
    t.mock.method(WebAssembly, "Instance", class { exports = { f: () => 0 }; });
    assert.equal(instructionSet(), "simd", "where relaxed_madd rounds twice");
});

for (const set of ["relaxed", "simd"]) {
    test(`${set}: at most 700 kB, without imports`, async () => {
        const bytes = statSync(`${PAGE}/var-${set}.wasm`).size;
        console.log(`${set}: ${bytes} bytes`);
        assert.ok(bytes <= 700_000, `${bytes} bytes`);
        assert.deepEqual(WebAssembly.Module.imports(await compiled(set)), []);
    });

    test(`${set}: the bytes of var sample after every scale`, async () => {
        const model = await Model.open(await compiled(set), small, "the model");
        for (const label of CLASSES) {
            for (const seed of SEEDS) {
                const images = [];
                for (const step of model.sample(label, { seed })) images.push(Buffer.from(step.image()));
                assert.deepEqual(images, drawn(label, seed), `class ${label}, seed ${seed}`);
            }
        }
    });

    test(`${set}: time of one image`, async () => {
        const model = await Model.open(await compiled(set), small, "the model");
        let best = Infinity;
        for (let round = 0; round < 8; round += 1) {
            const start = performance.now();
            whole(model.sample(3, { seed: 5 }));
            best = Math.min(best, performance.now() - start);
        }
        const limit = set === "relaxed" ? 150 : 1000;
        console.log(`${set}: ${best.toFixed(0)} ms an image in Node ${process.version}, ${limit} wanted`);
        assert.ok(best < 5 * limit, "far beyond the limit, even for a busy machine");
    });
}

test("the built-in model draws the bytes of var sample", async (t) => {
    const model = await Model.open(await compiled(instructionSet()), readFileSync(BUILT_IN), "the built-in model");
    const start = performance.now();
    const images = [];
    for (const step of model.sample("cat face", { seed: 5 })) images.push(Buffer.from(step.image()));
    t.diagnostic(`${(performance.now() - start).toFixed(0)} ms with the image of every scale`);
    const label = model.info.classNames.indexOf("cat face, 🐱");
    assert.deepEqual(images, drawn(label, 5n, "--model", "built-in"));
});

test("several images of a run are those of single runs", async () => {
    const model = await Model.open(await compiled("simd"), small);
    const alone = [[3, 4], ["bag", 5]].map(([label, firstIndex]) => whole(model.sample(label, { seed: 9, firstIndex })));
    const together = [0, 1].map(() => ({ tokens: [], image: null }));
    for (const step of model.sample([3, "bag"], { seed: 9, firstIndex: 4 })) {
        for (const [number, image] of together.entries()) {
            image.tokens.push(...step.tokens(number));
            image.image = step.image(number);
        }
        assert.throws(() => step.image(2), { message: "image 2: the run has 2" });
    }
    assert.deepEqual(together, alone);
});

test("settings change the image, and one without a class is drawn", async () => {
    const model = await Model.open(await compiled("simd"), small);
    const plain = whole(model.sample(3));
    for (const options of [{ cfg: 8 }, { temperature: 4 }, { topK: 1 }, { topP: 0.1 }, { moreSmooth: true }, { seed: "1" }]) {
        assert.notDeepEqual(whole(model.sample(3, options)), plain, JSON.stringify(options));
    }
    const none = whole(model.sample(model.info.classes));
    assert.deepEqual(whole(model.sample(model.info.classes, { cfg: 0 })), none);
});

test("tokens of an image, and its image of tokens", async () => {
    const model = await Model.open(await compiled("simd"), small);
    const { tokens, image } = whole(model.sample(8));
    assert.deepEqual(model.decode(tokens), image);
    assert.equal(model.encode(image).length, 30);
    assert.deepEqual(model.reconstruct(image), model.decode(model.encode(image)));
    assert.deepEqual([...rgba(new Uint8Array([1, 2, 3]))], [1, 2, 3, 255]);
});

test("a run that is left early leaves the model usable", async () => {
    const model = await Model.open(await compiled("simd"), small);
    for (const step of model.sample(3)) if (step.scale === 1) break;
    const former = model.sample(3);
    former.next();
    assert.equal(whole(model.sample(3)).tokens.length, 30);
    assert.throws(() => former.next(), /this run has ended: another has begun/);
    assert.equal(whole(model.sample(3)).tokens.length, 30);
});

test("a user's own file is read and checked", async () => {
    const module = await compiled("simd");
    const path = converted();
    const own = readFileSync(path);
    const model = await Model.open(module, new Blob([own]), "own.safetensors");
    const { image } = whole(model.sample(8, { seed: 3 }));
    assert.deepEqual(Buffer.from(image), drawn(8, 3, "--model", path)[3]);
    const changed = Buffer.from(own);
    changed[changed.length - 1000] ^= 1;
    await assert.rejects(Model.open(module, changed, "own.safetensors"), /own.safetensors: damaged: its checksum is/);
});

test("files that are no model are refused in words", async () => {
    const module = await compiled("simd");
    for (const [name, bytes, wants] of [
        ["notes.txt", Buffer.from("milk, bread"), 'notes.txt: not a checkpoint but a text, which begins with "milk, bread"'],
        ["photo.jpg", Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 16]), "photo.jpg: not a checkpoint but a JPEG image"],
        ["half.safetensors", small.subarray(0, 1_000_000), "half.safetensors: safetensors file holds 976656 bytes of tensors, its header describes 4113628"],
        ["empty", new Uint8Array(), "empty: not a checkpoint but an empty file"],
        ["var_d16.pth", Buffer.from("PK\x03\x04and so on"), "var_d16.pth: not a checkpoint but a zip archive, as torch.save writes it: this program reads safetensors alone"],
    ]) {
        await assert.rejects(Model.open(module, bytes, name), (error) => error.message.startsWith(wants) || assert.fail(error.message));
    }
});

test("arguments that cannot be served are refused in words, and leave the model usable", async () => {
    const model = await Model.open(await compiled("simd"), small);
    // The other fits a wasm memory with that many images.
    const large = await Model.open(await compiled("simd"), readFileSync(BUILT_IN));
    for (const [call, wants] of [
        [() => model.sample(11), "class 11: the model has classes 0 to 9, and 10 for none"],
        [() => model.sample(0.5), "class is 0.5: a whole number below 2^32 wanted"],
        [() => model.sample("dog"), 'the model has no class "dog"'],
        [() => model.sample([]), "0 images, 1 to 4096 wanted"],
        [() => model.sample([3, 10]), "1 of 2 images have no class: all or none of a run may"],
        [() => model.sample(3, { seed: -1 }), "seed is -1: a whole number below 2^64 wanted"],
        [() => model.sample(3, { cfg: NaN }), "cfg is NaN, a finite number wanted"],
        [() => model.sample(3, { temperature: 0 }), "temperature is 0, 0.01 to 100 wanted"],
        [() => model.sample(3, { topP: 2 }), "top_p is 2, 0 to 1 wanted"],
        [() => model.sample([1, 1], { firstIndex: 2 ** 32 - 1 }), "first index 4294967295: too large for 2 images"],
        [() => model.decode([1, 2]), "2 tokens, the model's ladder has 30 cells"],
        [() => model.decode(new Array(30).fill(512)), "token 512 is not below the model's 512 codes"],
        [() => model.encode(new Uint8Array(3)), "image: 3 bytes, 3072 wanted: 32 × 32 × 3"],
        [() => large.sample(new Array(4096).fill(1)), /^\d+ bytes of working memory cannot be had: try a smaller batch$/],
    ]) {
        assert.throws(call, typeof wants === "string" ? { message: wants } : (error) => wants.test(error.message));
        assert.equal(whole(model.sample(3)).tokens.length, 30);
    }
    const huge = { size: 2 ** 33, stream: () => new Blob().stream() };
    await assert.rejects(Model.open(await compiled("simd"), huge, "huge"), /^Error: 8589934592 bytes of memory cannot be had$/);
});
