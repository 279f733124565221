// @ts-check
// Server-sent events of a job, read by fetch: EventSource would not tell a refusal's reason.

import { ApiError, request } from "./api.mjs";

/** @typedef {{ name: string, id: string, data: any }} JobEvent */

const LAST = ["done", "failed", "canceled"];
const TRIES = 5;

/** Events of a text that comes in pieces. */
export class EventParser {
    #rest = "";

    /**
     * Adds a piece.
     * @param {string} text
     * @returns {JobEvent[]} those that it completes
     */
    push(text) {
        const blocks = (this.#rest + text).split(/\r?\n\r?\n/);
        this.#rest = blocks.pop() ?? "";
        return blocks.flatMap((block) => {
            const event = { name: "message", id: "", data: "" };
            for (const line of block.split(/\r?\n/)) {
                const [, field, value] = /^(\w+): ?(.*)$/.exec(line) ?? [];
                if (field === "event") event.name = value;
                else if (field === "id") event.id = value;
                else if (field === "data") event.data += (event.data && "\n") + value;
            }
            return event.data ? [{ ...event, data: JSON.parse(event.data) }] : [];
        });
    }
}

/**
 * All events of a job, up to its end; a connection that breaks is made again where it broke.
 * @param {string | number} job
 * @returns {AsyncGenerator<JobEvent, void, void>}
 * @throws {ApiError} if the server no longer answers or does not know the job
 */
export async function* events(job) {
    let last = "";
    for (let tries = 0; tries < TRIES; tries += 1) {
        if (tries) await new Promise((resolve) => setTimeout(resolve, 200 * 2 ** tries));
        try {
            const response = await request(`/api/jobs/${job}/events`, last ? { headers: { "last-event-id": last } } : {});
            // No content: all events were there before the connection broke.
            if (response.status === 204) return;
            const parser = new EventParser();
            const decoder = new TextDecoder();
            const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
            for (let piece; !(piece = await reader.read()).done;) {
                for (const event of parser.push(decoder.decode(piece.value, { stream: true }))) {
                    last = event.id;
                    tries = 0;
                    yield event;
                    if (LAST.includes(event.name)) return;
                }
            }
        } catch (fault) {
            // A refusal stays one; a broken connection may come back.
            if (fault instanceof ApiError && fault.status) throw fault;
        }
    }
    throw new ApiError("The connection to the server broke: has `var serve` ended?", 0);
}
