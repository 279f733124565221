// @ts-check
// A job as the page knows it: all that its events brought.

import { ApiError, begin, cancel, pngOf, request } from "./api.mjs";
import { events } from "./events.mjs";

/**
 * @typedef {object} Frame An image after a scale.
 * @property {number} side of the token map
 * @property {number[]} tokens
 * @property {Blob | null} png none where the server's memory for the job is used up
 * @property {ImageBitmap | null} bitmap
 *
 * @typedef {object} Drawn An image of a run.
 * @property {Frame[]} frames scale by scale
 * @property {number | null} label
 * @property {Blob | null} file the server's PNG, once it is whole
 *
 * @typedef {object} Scored
 * @property {{ label: number, name: string, log_likelihood: number, probability: number }[]} scores
 * @property {{ side: number, log_likelihood: number[] }[]} maps of the most likely class
 * @property {number} best
 *
 * @typedef {"queued" | "running" | "done" | "failed" | "canceled"} State
 * @typedef {"state" | "frame" | "image" | "progress" | "scores"} Change
 */

export class Run {
    /** @type {State} */
    state = "queued";
    place = 0;
    /** @type {Drawn[]} */
    images = [];
    /** @type {Scored | null} */
    scored = null;
    scales = 0;
    seconds = 0;
    /** @type {import("./api.mjs").Memory} */
    memory = {};
    progress = { done: 0, of: 0 };
    /** @type {{ message: string, option?: string } | null} */
    error = null;
    /** @type {Set<(change: Change, image?: number) => void>} */
    listeners = new Set();

    /** The server's name for the job, once it has taken it. @type {string | number | null} */
    #id = null;
    #unwanted = false;

    /**
     * @param {import("./settings.mjs").Settings} settings
     * @param {string} title of the whole
     * @param {(label: number | null) => string} nameOf
     */
    constructor(settings, title, nameOf) {
        this.settings = settings;
        this.title = title;
        this.nameOf = nameOf;
        const { task, classes, count } = settings;
        /** How many images it will have. */
        this.total = { sample: classes.length * count, edit: count, reconstruct: 1, score: 0 }[task];
    }

    /**
     * The title of an image.
     * @param {number} at
     */
    titleOf(at) {
        const { classes, count, seed, task } = this.settings;
        if (task === "reconstruct" || task === "score") return this.title;
        const label = this.images[at]?.label ?? classes[Math.floor(at / count)];
        return `${task === "sample" ? this.nameOf(label) : this.title}, seed ${seed}`;
    }

    get over() {
        return this.state !== "queued" && this.state !== "running";
    }

    /**
     * Begins the job at the server and takes its events up to its end.
     * @param {object} body
     */
    async follow(body) {
        try {
            this.#id = (await begin(this.settings.task, body)).id;
            if (this.#unwanted) await cancel(this.#id);
            for await (const { name, data } of events(this.#id)) await this.#take(name, data);
            if (!this.over) throw new ApiError("The server no longer tells of this job.", 0);
        } catch (fault) {
            const { message, option } = fault instanceof ApiError ? fault : { message: String(fault), option: undefined };
            this.error = { message, option };
            this.#become("failed");
        }
    }

    /** Ends the job within a scale, or before the server has it. */
    async cancel() {
        this.#unwanted = true;
        // A job that has ended meanwhile needs no cancel.
        if (this.#id !== null) await cancel(this.#id).catch(() => {});
    }

    /** Ends a job that was not sent. */
    drop() {
        this.#become("canceled");
    }

    /**
     * @param {string} name
     * @param {any} data
     */
    async #take(name, data) {
        if (name === "queued") {
            this.place = data.place;
            this.#become("queued");
        } else if (name === "started") {
            this.#become("running");
        } else if (name === "scale") {
            const png = data.png && pngOf(data.png);
            const frame = { side: data.side, tokens: data.tokens ?? [], png, bitmap: png && (await createImageBitmap(png)) };
            this.scales = data.scales;
            this.#image(data.image).frames[data.scale] = frame;
            this.#tell("frame", data.image);
        } else if (name === "image") {
            const file = await (await request(data.url)).blob();
            const image = this.#image(data.image);
            Object.assign(image, { label: data.label ?? null, file });
            const last = image.frames.at(-1);
            if (last && !last.bitmap) last.bitmap = await createImageBitmap(file);
            this.#tell("image", data.image);
        } else if (name === "progress") {
            this.progress = data;
            this.#tell("progress");
        } else if (name === "scores") {
            this.scored = data;
            this.#tell("scores");
        } else if (name === "done") {
            this.seconds = data.seconds;
            this.memory = data.memory ?? {};
            this.#become("done");
        } else if (name === "failed") {
            this.error = data.error;
            this.#become("failed");
        } else if (name === "canceled") {
            this.#become("canceled");
        }
    }

    /** @param {number} at */
    #image(at) {
        return this.images[at] ??= { frames: [], label: null, file: null };
    }

    /** @param {State} state */
    #become(state) {
        this.state = state;
        this.#tell("state");
    }

    /**
     * @param {Change} change
     * @param {number} [image]
     */
    #tell(change, image) {
        for (const listener of this.listeners) listener(change, image);
    }
}
