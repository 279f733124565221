// @ts-check
// Jobs of this page that are not over: their places, and a way to cancel each.

import { cancel } from "./api.mjs";
import { byId, make } from "./elements.mjs";

/** @typedef {import("./run.mjs").Run} Run */

export class Queue {
    /** @type {Run[]} */
    #runs = [];
    /** Called when a job starts or ends. @type {(run: Run) => void} */
    started = () => {};
    /** @type {(run: Run) => void} */
    ended = () => {};

    /** The job that is computed now, or the first that waits. */
    get first() {
        return this.#runs.find((run) => run.state === "running") ?? this.#runs[0];
    }

    /** @param {Run} run */
    add(run) {
        this.#runs.push(run);
        let begun = false;
        run.listeners.add((change) => {
            if (change !== "state") return;
            if (run.state === "running" && !begun) {
                begun = true;
                this.started(run);
            }
            if (run.over) {
                this.#runs = this.#runs.filter((other) => other !== run);
                this.ended(run);
            }
            this.#render();
        });
        this.#render();
        run.follow();
    }

    #render() {
        byId("stop", HTMLButtonElement).disabled = !this.#runs.length;
        byId("queue", HTMLElement).hidden = this.#runs.length < 2;
        byId("queue-list", HTMLElement).replaceChildren(...this.#runs.map((run) => {
            const title = run.titleOf(0);
            const place = run.state === "running" ? "running" : run.place ? `place ${run.place}` : "waits";
            const button = make("button", { type: "button", "aria-label": `Cancel ${title}` }, "Cancel");
            button.addEventListener("click", () => {
                button.disabled = true;
                // A job that has ended meanwhile needs no cancel.
                cancel(run.id).catch(() => {});
            });
            return make("li", {}, make("span", { title }, title), make("span", { className: "place" }, place), button);
        }));
    }
}
