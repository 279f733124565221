// VAR in JavaScript: opens a model in the WebAssembly module beside this file and samples. No dependencies; runs in
// pages, workers and Node. Types: var.d.ts.

/**
 * A module with one function: (1 + 2⁻¹²)·(1 − 2⁻¹²) − 1 by f32x4.relaxed_madd. With one rounding that is −2⁻²⁴, with
 * two it is 0. By the specification an engine always does the one or always the other, so one look is a proof.
 */
const RELAXED = [
    0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 125, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0, 10, 31, 1, 29, 0, 67, 0, 8, 128,
    63, 253, 19, 67, 0, 240, 127, 63, 253, 19, 67, 0, 0, 128, 191, 253, 19, 253, 133, 2, 253, 31, 0, 11,
];
/** The same with nothing but f32x4.splat and f32x4.extract_lane. */
const SIMD = [
    0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 125, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0, 10, 14, 1, 12, 0, 67, 0, 0, 0, 0,
    253, 19, 253, 31, 0, 11,
];

/** Which of the two modules this engine runs: both give the same bytes, the relaxed one is ten times as fast. */
export function instructionSet() {
    const relaxed = new Uint8Array(RELAXED);
    if (WebAssembly.validate(relaxed)) {
        const { exports } = new WebAssembly.Instance(new WebAssembly.Module(relaxed));
        if (exports.f() === -(2 ** -24)) return "relaxed";
    }
    if (WebAssembly.validate(new Uint8Array(SIMD))) return "simd";
    throw new Error("this browser has no SIMD in WebAssembly: one of 2023 or later has");
}

/** Fetches and compiles the module for an instruction set. */
export async function compile(set = instructionSet()) {
    const url = new URL(`var-${set}.wasm`, import.meta.url);
    const response = await found(url);
    // (Servers that do not know the type of .wasm files break streaming.)
    const streams = response.headers.get("content-type") === "application/wasm";
    return streams ? WebAssembly.compileStreaming(response) : WebAssembly.compile(await response.arrayBuffer());
}

async function found(url) {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`${url}: ${response.status} ${response.statusText}`);
    return response;
}

/** A model in memory of its own, which goes with it. */
export class Model {
    #exports;
    #fault = null;
    /** The run that `begin` began last. */
    #run = null;

    /** Opens a model: bytes, a file of the user's (Blob), or the address of one. */
    static async open(module, source, name = source.name ?? "the model") {
        const model = new Model();
        model.#exports = (await WebAssembly.instantiate(module)).exports;
        const [length, chunks] = await bytesOf(source);
        const address = model.#allocate(length);
        let at = address;
        for await (const chunk of chunks) {
            if (at + chunk.length > address + length) throw new Error(`${name}: longer than ${length} bytes`);
            // (A new view each time: memory that grows is another buffer.)
            new Uint8Array(model.#exports.memory.buffer, at, chunk.length).set(chunk);
            at += chunk.length;
        }
        if (at !== address + length) throw new Error(`${name}: ${at - address} of ${length} bytes came`);
        const text = new TextEncoder().encode(name);
        model.#with(text, (name) => model.#done("open", address, length, name, text.length));
        model.info = JSON.parse(new TextDecoder().decode(model.#answer("describe")));
        return model;
    }

    /**
     * Begins to draw an image of each class; the generator's steps are its scales. To leave their loop early ends the
     * run. A class is a number, or a name of the model's; `info.classes` draws without one.
     */
    sample(classes, options = {}) {
        const labels = [classes].flat().map((name) => this.label(name));
        const { seed = 0, firstIndex = 0, cfg = 1.5, temperature = 1, topK = 900, topP = 0.96, moreSmooth = false } = options;
        this.#with(new Uint32Array(labels), (address) =>
            this.#done("begin", address, labels.length, integer("seed", seed, 64), integer("firstIndex", firstIndex, 32),
                Number(cfg), integer("topK", topK, 32), Number(topP), Number(moreSmooth), Number(temperature)));
        return this.#steps((this.#run = {}));
    }

    *#steps(run) {
        try {
            for (;;) {
                this.#current(run);
                const scale = this.#call("step");
                if (scale === -2) return;
                if (scale < 0) throw new Error(this.#error());
                yield new Step(scale, this.info.ladder, {
                    tokens: () => (this.#current(run), words(this.#answer("tokens"))),
                    image: (number) => (this.#current(run), this.#answer("image", number)),
                });
            }
        } finally {
            if (this.#run === run && !this.#fault) this.#call("end");
        }
    }

    /** Tokens of an image of side × side × 3 bytes. */
    encode(rgb) {
        return this.#with(rgb, (address) => words(this.#answer("encode", address, rgb.length)));
    }

    /** The image of an image's tokens: side × side × 3 bytes. */
    decode(tokens) {
        return this.#with(new Uint32Array(tokens), (address) => this.#answer("decode", address, tokens.length));
    }

    /** An image encoded and decoded again. */
    reconstruct(rgb) {
        return this.decode(this.encode(rgb));
    }

    /** The number of a class. */
    label(name) {
        if (typeof name === "number") return integer("class", name, 32);
        const wanted = String(name).toLowerCase();
        const names = (all) => [all, ...all.split(",")].map((one) => one.trim().toLowerCase());
        const label = this.info.classNames.findIndex((all) => names(all).includes(wanted));
        if (label < 0) throw new Error(`the model has no class ${JSON.stringify(name)}`);
        return label;
    }

    #current(run) {
        if (this.#run !== run) throw new Error("this run has ended: another has begun");
    }

    #call(name, ...numbers) {
        if (this.#fault) throw new Error(this.#fault);
        try {
            return this.#exports[name](...numbers);
        } catch (trap) {
            // The text of a panic is left behind; memory that has run out leaves none.
            this.#fault = `${this.#error() || "out of memory, or a fault of the library"} (${trap.message})`;
            throw new Error(this.#fault, { cause: trap });
        }
    }

    #done(name, ...numbers) {
        if (this.#call(name, ...numbers) < 0) throw new Error(this.#error());
    }

    /** A copy of the bytes that a call answers with. */
    #answer(name, ...numbers) {
        const address = this.#call(name, ...numbers);
        if (address === 0) throw new Error(this.#error());
        return this.#copy(address);
    }

    #copy(address) {
        return new Uint8Array(this.#exports.memory.buffer, address >>> 0, this.#exports.length() >>> 0).slice();
    }

    #error() {
        return new TextDecoder().decode(this.#copy(this.#exports.error()));
    }

    #allocate(length) {
        const address = length < 2 ** 32 ? this.#call("allocate", length) >>> 0 : 0;
        if (address === 0) throw new Error(`${length} bytes of memory cannot be had`);
        return address;
    }

    /** Lends `values` to a call, by address. */
    #with(values, call) {
        const address = this.#allocate(values.byteLength);
        try {
            new Uint8Array(this.#exports.memory.buffer, address, values.byteLength)
                .set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
            return call(address);
        } finally {
            if (!this.#fault) this.#call("release", address, values.byteLength);
        }
    }
}

/** State after a scale. */
class Step {
    #read;

    constructor(scale, ladder, read) {
        this.scale = scale;
        this.scales = ladder.length;
        /** Side of the scale's map of tokens. */
        this.side = ladder[scale];
        this.#read = read;
    }

    /** Tokens of this scale of an image of the run, row by row. */
    tokens(number = 0) {
        const cells = this.side ** 2;
        return this.#read.tokens().slice(number * cells, (number + 1) * cells);
    }

    /** An image of the run as it would look if the run ended here: side × side × 3 bytes. */
    image(number = 0) {
        return this.#read.image(number);
    }
}

/** An image's bytes with an opaque alpha after every three, as ImageData has them. */
export function rgba(rgb) {
    const out = new Uint8ClampedArray((rgb.length / 3) * 4).fill(255);
    for (let pixel = 0; pixel < rgb.length / 3; pixel += 1) {
        out.set(rgb.subarray(3 * pixel, 3 * pixel + 3), 4 * pixel);
    }
    return out;
}

/** Number of bytes of a source, and the bytes in pieces. */
async function bytesOf(source) {
    if (typeof source === "string" || source instanceof URL) source = await (await found(source)).blob();
    if (source instanceof ArrayBuffer) source = new Uint8Array(source);
    if (source instanceof Uint8Array) return [source.length, [source]];
    return [source.size, pieces(source.stream().getReader())];
}

// (Safari's streams are no iterators.)
async function* pieces(reader) {
    for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        yield value;
    }
}

function words(bytes) {
    return new Uint32Array(bytes.buffer);
}

/** A whole number of so many bits, as WebAssembly takes it. */
function integer(name, value, bits) {
    const whole = typeof value === "number" && !Number.isInteger(value) ? -1n : BigInt(value);
    if (whole !== BigInt.asUintN(bits, whole)) throw new Error(`${name} is ${value}: a whole number below 2^${bits} wanted`);
    return bits === 64 ? whole : Number(whole);
}
