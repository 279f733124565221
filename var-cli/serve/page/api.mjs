// @ts-check
// Requests to the server.

/**
 * @typedef {object} Sampling Defaults of the sampling options.
 * @property {number} cfg
 * @property {number} temperature
 * @property {number} top_k
 * @property {number} top_p
 * @property {boolean} more_smooth
 *
 * @typedef {object} ModelInfo
 * @property {string} name
 * @property {number | null} classes none without a transformer
 * @property {number} side Pixels of an image's side.
 * @property {number[]} ladder Cells of a side, scale by scale.
 * @property {number} codes
 * @property {boolean} has_transformer
 *
 * @typedef {{ resident_bytes?: number, peak_bytes?: number }} Memory
 *
 * @typedef {object} Info
 * @property {string} version
 * @property {ModelInfo} model
 * @property {boolean} model_is_replaced the file on disk is another one by now
 * @property {string} device
 * @property {number} threads
 * @property {string} isa
 * @property {Record<string, number>} limits
 * @property {Sampling} defaults
 * @property {Memory} [memory]
 *
 * @typedef {{ label: number, name: string }} Class
 * @typedef {{ id: string | number, kind: string, state: string, place: number, seed?: string | number, images: number }} Job
 */

/** A refusal in the server's words. */
export class ApiError extends Error {
    /**
     * @param {string} message
     * @param {number} status
     * @param {string} [option] the option at fault
     */
    constructor(message, status, option) {
        super(message);
        this.name = "ApiError";
        this.status = status;
        this.option = option;
    }
}

/**
 * An answer's error, in words whatever it holds.
 * @param {Response} response
 */
async function refusal(response) {
    const text = await response.text();
    try {
        const { message, option } = JSON.parse(text).error;
        return new ApiError(message, response.status, option);
    } catch {
        return new ApiError(`The server answered ${response.status} ${response.statusText}: ${text.slice(0, 200)}`, response.status);
    }
}

/**
 * @param {string} path
 * @param {RequestInit} [init]
 * @returns {Promise<Response>}
 * @throws {ApiError} if the server refuses or does not answer
 */
export async function request(path, init) {
    let response;
    try {
        response = await fetch(path, init);
    } catch (fault) {
        if (init?.signal?.aborted) throw fault;
        throw new ApiError("The server does not answer: has `var serve` ended?", 0);
    }
    if (!response.ok) throw await refusal(response);
    return response;
}

/** @returns {Promise<Info>} */
export const info = async () => (await request("/api/info")).json();

/** @returns {Promise<Class[]>} */
export const classes = async () => (await request("/api/classes")).json();

/**
 * JSON of a request. A seed is a text of digits here and a number there: it may be more than a number of JavaScript holds.
 * @param {object} body
 */
export const jsonOf = (body) => JSON.stringify(body).replace(/"seed":"(\d+)"/, '"seed":$1');

/**
 * Begins a job.
 * @param {string} kind
 * @param {object} body
 * @returns {Promise<Job>}
 */
export async function begin(kind, body) {
    const headers = { "content-type": "application/json" };
    return (await request(`/api/${kind}`, { method: "POST", headers, body: jsonOf(body) })).json();
}

/**
 * Ends a job within a scale.
 * @param {string | number} id
 */
export async function cancel(id) {
    await request(`/api/jobs/${id}/cancel`, { method: "POST" });
}

/**
 * Base64 of a file's bytes.
 * @param {Blob} file
 * @returns {Promise<string>}
 */
export async function base64(file) {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const parts = [];
    // So many arguments a call may have.
    for (let at = 0; at < bytes.length; at += 0x8000) parts.push(String.fromCharCode(...bytes.subarray(at, at + 0x8000)));
    return btoa(parts.join(""));
}

/**
 * A PNG file of base64.
 * @param {string} text
 */
export function pngOf(text) {
    return new Blob([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))], { type: "image/png" });
}
