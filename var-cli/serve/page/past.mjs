// @ts-check
// The history of the session: every image, with the settings that made it.

import { byId, make } from "./elements.mjs";

/** @typedef {import("./run.mjs").Run} Run */

/** So many images stay in memory. */
const KEPT = 120;

export class Past {
    #list = byId("history-list", HTMLUListElement);

    /** @param {(run: Run, image: number) => void} chosen */
    constructor(chosen) {
        this.chosen = chosen;
    }

    /**
     * Adds the images of a run that is over.
     * @param {Run} run
     */
    add(run) {
        for (const [at, image] of run.images.entries()) {
            const blob = image?.file ?? image?.frames.at(-1)?.png;
            if (!blob) continue;
            const title = run.titleOf(at);
            const [name, seed] = title.split(/, (?=seed \d+$)/);
            const side = image.frames.at(-1)?.bitmap?.width ?? 0;
            const picture = make("img", { src: URL.createObjectURL(blob), alt: "", className: side <= 128 ? "small" : "" });
            const note = image.file ? [make("span", { className: "unseen" }, seed ? "seed " : ""), seed?.slice("seed ".length) ?? ""] : ["stopped"];
            const button = make("button", { type: "button", title }, picture, make("span", {}, name), make("span", { className: "seed" }, ...note));
            button.addEventListener("click", () => {
                this.mark(button);
                this.chosen(run, at);
            });
            this.#list.prepend(make("li", {}, button));
            this.mark(button);
        }
        for (const old of [...this.#list.children].slice(KEPT)) {
            URL.revokeObjectURL(old.querySelector("img")?.src ?? "");
            old.remove();
        }
    }

    /** @param {Element} button */
    mark(button) {
        for (const other of this.#list.querySelectorAll("[aria-current]")) other.removeAttribute("aria-current");
        button.setAttribute("aria-current", "true");
    }
}
