// Load on `var serve`: node tests/serve/load.mjs [REQUESTS], 16 at a time; a fifth is canceled, a tenth of the
// clients vanishes. No job is lost, memory stays flat, latencies are printed. VAR_BINARY is the program.

import assert from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { request } from "node:http";
import { createInterface } from "node:readline";

const REQUESTS = Number(process.argv[2] ?? 200);
const CLIENTS = 16;
/** Growth of resident memory from a quarter of the requests on, in bytes. */
const GROWTH = 16 << 20;

// (Otherwise glibc keeps freed memory, in steps.)
const env = { ...process.env, MALLOC_MMAP_THRESHOLD_: "65536" };
const server = spawn(process.env.VAR_BINARY ?? "var", ["serve", "--port", "0", "--quiet"], { env, stdio: ["ignore", "pipe", "inherit"] });
process.on("exit", () => server.kill("SIGKILL"));
const [address] = await once(createInterface(server.stdout), "line");

/** An answer as it comes: its status, its headers, its stream. */
function send(method, path, body) {
    return new Promise((resolve, reject) => {
        const headers = body ? { "content-type": "application/json" } : {};
        const sent = request(new URL(path, address), { method, headers, agent: false }, (answer) => resolve({ answer, sent }));
        sent.on("error", reject);
        sent.end(body && JSON.stringify(body));
    });
}

async function json(method, path, body) {
    const { answer } = await send(method, path, body);
    let text = "";
    for await (const part of answer) text += part;
    return { status: answer.statusCode, headers: answer.headers, body: JSON.parse(text) };
}

/** Queues a job; asks again while the queue is full. */
async function submit(body) {
    for (;;) {
        const answer = await json("POST", "/api/sample", body);
        if (answer.status === 202) return answer.body.id;
        assert.equal(answer.status, 429, JSON.stringify(answer.body));
        full += 1;
        await new Promise((resolve) => setTimeout(resolve, 20 + 60 * Math.random()));
    }
}

/** The names of a job's events, with `each` called on every one; vanishes where that says so. */
async function listen(id, each) {
    const { answer, sent } = await send("GET", `/api/jobs/${id}/events`);
    assert.equal(answer.statusCode, 200);
    const names = [];
    let text = "";
    for await (const part of answer) {
        const lines = (text + part).split("\n");
        text = lines.pop();
        for (const line of lines.filter((line) => line.startsWith("event: "))) {
            names.push(line.slice(7));
            if (each(names.at(-1)) !== "vanish") continue;
            sent.on("error", () => {});
            sent.destroy();
            return names;
        }
    }
    return names;
}

async function ended(id) {
    for (;;) {
        const { body } = await json("GET", `/api/jobs/${id}`);
        if (!["queued", "running"].includes(body.state)) return body;
        await new Promise((resolve) => setTimeout(resolve, 10));
    }
}

let full = 0;
const [times, states, resident] = [[], {}, []];

/** One request, as a user or a closed tab makes it. */
async function run(number) {
    const start = performance.now();
    const id = await submit({ classes: [number % 10], count: 1 + (number % 4), seed: number });
    const kind = number % 10 < 2 ? "cancel" : number % 10 === 2 ? "vanish" : "whole";
    let seen = 0;
    const names = await listen(id, (name) => {
        if (name === "scale" && ++seen === 2 && kind === "cancel") json("POST", `/api/jobs/${id}/cancel`);
        return name === "scale" && seen === 2 && kind === "vanish" ? "vanish" : undefined;
    });
    const job = await ended(id);
    if (kind === "whole") {
        assert.equal(job.state, "done", JSON.stringify(job));
        assert.equal(names.at(-1), "done");
        assert.equal(job.images.length, job.wanted);
        times.push(performance.now() - start);
    } else {
        // A short job may be done before it is told to end.
        assert(["canceled", "done"].includes(job.state), JSON.stringify(job));
    }
    states[`${kind}: ${job.state}`] = (states[`${kind}: ${job.state}`] ?? 0) + 1;
    resident.push((await json("GET", "/api/info")).body.memory.resident_bytes);
}

const start = performance.now();
let next = 0;
await Promise.all(Array.from({ length: CLIENTS }, async () => {
    while (next < REQUESTS) await run(next++);
}));
const seconds = (performance.now() - start) / 1000;
times.sort((a, b) => a - b);
const part = (share) => times[Math.min(times.length - 1, Math.floor(share * times.length))].toFixed(0);
const early = Math.max(...resident.slice(0, Math.ceil(REQUESTS / 4)));
const late = Math.max(...resident.slice(-Math.ceil(REQUESTS / 4)));
console.log(`${REQUESTS} requests by ${CLIENTS} clients in ${seconds.toFixed(1)} s; full queue told ${full} times;`, states);
console.log(`whole jobs, from the request to the last image: p50 ${part(0.5)} ms, p99 ${part(0.99)} ms; memory ${(early / 1e6).toFixed(1)} MB, then ${(late / 1e6).toFixed(1)} MB`);
assert.equal(Object.values(states).reduce((a, b) => a + b), REQUESTS);
assert(late - early < GROWTH, `memory grows by ${late - early} bytes`);
server.kill("SIGTERM");
const [code] = await once(server, "exit");
assert.equal(code, 0);
