// The page: what is asked for goes to the worker, one scale after another comes back.

const field = (id) => document.getElementById(id);
/** `?set=simd` takes the module without relaxed SIMD, to compare. */
const set = new URLSearchParams(location.search).get("set") ?? undefined;

const worker = new Worker(new URL("worker.mjs", import.meta.url), { type: "module" });
const waiting = new Map();

/** Calls the worker. */
function call(name, ...values) {
    const id = crypto.randomUUID?.() ?? Math.random();
    worker.postMessage({ id, name, values });
    return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
}

worker.onmessage = ({ data: { id, answer, error } }) => {
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) resolve(answer);
    else reject(new Error(error));
};
worker.onerror = (event) => fail(`the worker cannot start: ${event.message ?? "no reason is given"}`);

let info;
let busy = false;
let stopping = false;

function say(text) {
    field("status").textContent = text;
}

function fail(text) {
    field("failure").textContent = text;
    field("failure").hidden = false;
    field("failure").scrollIntoView({ block: "nearest" });
}

function setBusy(now) {
    busy = now;
    const without = !info?.classes;
    for (const id of ["draw", "class"]) field(id).disabled = now || without;
    for (const id of ["file", "built-in"]) field(id).disabled = now;
}

/** Opens the built-in model, or a file of the user's. */
async function open(file) {
    if (busy) return;
    setBusy(true);
    field("failure").hidden = true;
    say(file ? `Reading ${file.name} …` : "Loading the model …");
    const start = performance.now();
    try {
        info = await call("open", set, file);
        describe(file);
        say(`Ready after ${duration(performance.now() - start)}.`);
    } catch (error) {
        fail(error.message);
        say(info ? "The model before it is still in use." : "No model is in use.");
    }
    setBusy(false);
}

function describe(file) {
    const { side, depth, width, classes, classNames, ladder, module, notes } = info;
    const size = depth ? `depth ${depth}, width ${width}, ${classes} classes` : "a VQVAE alone: it cannot draw";
    const speed = module === "relaxed" ? "relaxed SIMD" : "SIMD alone: without fused multiply-adds it is slower";
    const text = `${file ? file.name : "The built-in model"}: ${side} × ${side} images, ${size}; ${ladder.length} scales.`;
    field("about").replaceChildren(text, document.createElement("br"), `Computed by WebAssembly with ${speed}.`);
    for (const note of notes) field("about").append(document.createElement("br"), note);
    field("built-in").hidden = !file;
    const names = Array.from({ length: classes ?? 0 }, (_, label) => classNames[label] ?? `class ${label}`);
    const options = names.map((name, label) => new Option(name, label));
    field("class").replaceChildren(...options, new Option("without a class", classes));
    clear();
}

function clear() {
    field("scales").replaceChildren();
    field("download").hidden = true;
    const canvas = field("image");
    canvas.width = canvas.height = info.side ?? 32;
    canvas.classList.toggle("coarse", canvas.width < 128);
    canvas.setAttribute("aria-label", "no image yet");
}

function show(canvas, pixels, text) {
    const side = info.side;
    canvas.width = canvas.height = side;
    canvas.classList.toggle("coarse", side < 128);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", text);
    canvas.getContext("2d").putImageData(new ImageData(pixels, side, side), 0, 0);
}

async function draw() {
    const name = field("class").selectedOptions[0].text;
    const [label, seed] = [Number(field("class").value), field("seed").value];
    const number = (id) => field(id).valueAsNumber;
    const options = {
        seed,
        cfg: number("cfg"),
        temperature: number("temperature"),
        topK: number("top-k"),
        topP: number("top-p"),
        moreSmooth: field("smooth").checked,
    };
    setBusy(true);
    stopping = false;
    field("stop").disabled = false;
    field("failure").hidden = true;
    clear();
    const start = performance.now();
    try {
        let last = null;
        await call("begin", label, options);
        for (let step; !stopping && (step = await call("step")); last = step) {
            const { scale, scales, side, pixels } = step;
            const text = `${name}, seed ${seed}, after scale ${scale + 1} of ${scales}`;
            show(field("image"), pixels, text);
            addScale(step, text);
            say(`Scale ${scale + 1} of ${scales}: ${side} × ${side} tokens.`);
        }
        await call("end");
        const time = duration(performance.now() - start);
        const done = last && last.scale + 1 === last.scales;
        say(done ? `Drawn in ${time}.` : `Stopped after scale ${last ? last.scale + 1 : 0} of ${info.ladder.length}.`);
        if (last) await offer(`var-${name.replaceAll(/\W+/g, "-")}-${seed}.png`);
    } catch (error) {
        fail(error.message);
        say("Nothing more is drawn.");
    }
    field("stop").disabled = true;
    setBusy(false);
}

function addScale({ side, pixels }, text) {
    const item = document.createElement("li");
    const canvas = document.createElement("canvas");
    show(canvas, pixels, text);
    item.append(canvas, `${side} × ${side}`);
    field("scales").append(item);
}

/** Offers the image as a file. */
async function offer(name) {
    const file = await new Promise((resolve) => field("image").toBlob(resolve, "image/png"));
    const link = field("download");
    URL.revokeObjectURL(link.href);
    Object.assign(link, { href: URL.createObjectURL(file), download: name, hidden: false });
}

function duration(milliseconds) {
    return milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}

field("form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!busy) draw();
});
field("stop").addEventListener("click", () => {
    stopping = true;
    say("Stopping after this scale …");
});
field("another").addEventListener("click", () => {
    field("seed").value = crypto.getRandomValues(new Uint32Array(1))[0];
    if (!busy && info?.classes) draw();
});
field("built-in").addEventListener("click", () => open());
field("file").addEventListener("change", () => {
    const [file] = field("file").files;
    if (file) open(file);
    // So that choosing the same file again is a change, too.
    field("file").value = "";
});

addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
});
addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
});
addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    const [file] = event.dataTransfer.files;
    if (file) open(file);
});

open();
