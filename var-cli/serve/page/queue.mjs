// @ts-check
// Jobs of this page that are not over: their places, and a way to cancel each.

import { byId, make } from "./elements.mjs";

/** @typedef {import("./run.mjs").Run} Run */

/** Jobs at the server at once: each holds a connection, and a browser has six for a server, those of all its tabs. */
const SENT = 2;

export class Queue {
    /** Jobs that are not sent yet, and their requests. @type {Map<Run, object>} */
    #waiting = new Map();
    /** @type {Run[]} */
    #runs = [];
    /** Called when a job starts, ends, or waits as the first. @type {(run: Run) => void} */
    started = () => {};
    /** @type {(run: Run) => void} */
    waits = () => {};
    /** @type {(run: Run) => void} */
    ended = () => {};

    /** The job that is computed now, or the first that waits. */
    get first() {
        return this.#runs.find((run) => run.state === "running") ?? this.#runs[0];
    }

    /**
     * Sends a job as soon as fewer than SENT are at the server.
     * @param {Run} run
     * @param {object} body of its request
     */
    add(run, body) {
        this.#runs.push(run);
        this.#waiting.set(run, body);
        let begun = false;
        run.listeners.add((change) => {
            if (change !== "state") return;
            if (run.state === "running" && !begun) {
                begun = true;
                this.started(run);
            }
            if (run.state === "queued" && run === this.first) this.waits(run);
            if (run.over) {
                this.#runs = this.#runs.filter((other) => other !== run);
                this.ended(run);
                this.#send();
            }
            this.#render();
        });
        this.#send();
        this.#render();
    }

    /** @param {Run} run */
    cancel(run) {
        if (this.#waiting.delete(run)) run.drop();
        else run.cancel();
    }

    #send() {
        for (const [run, body] of this.#waiting) {
            if (this.#runs.length - this.#waiting.size >= SENT) return;
            this.#waiting.delete(run);
            run.follow(body);
        }
    }

    #render() {
        byId("stop", HTMLButtonElement).disabled = !this.#runs.length;
        byId("queue", HTMLElement).hidden = this.#runs.length < 2;
        byId("queue-list", HTMLElement).replaceChildren(...this.#runs.map((run, at) => {
            const title = run.titleOf(0);
            const place = run.state === "running" ? "running" : `place ${Math.max(run.place, at)}`;
            const button = make("button", { type: "button", "aria-label": `Cancel ${title}` }, "Cancel");
            button.addEventListener("click", () => {
                button.disabled = true;
                this.cancel(run);
            });
            return make("li", {}, make("span", { title }, title), make("span", { className: "place" }, place), button);
        }));
    }
}
