// @ts-check
// The strip of scales: a token map and the image after it, each to look back at.

import { byId, make } from "./elements.mjs";
import { paint } from "./fit.mjs";
import { colorOf, drawMap } from "./tokens.mjs";

/** @typedef {import("./run.mjs").Frame} Frame */

export class Strip {
    #entries;
    /** @type {(Frame | null)[]} */
    #shown;

    /**
     * @param {number[]} ladder
     * @param {(scale: number) => void} chosen
     */
    constructor(ladder, chosen) {
        this.#shown = ladder.map(() => null);
        this.#entries = ladder.map((side, scale) => {
            const radio = make("input", { type: "radio", name: "scale", disabled: true });
            radio.setAttribute("aria-label", `Scale ${scale + 1} of ${ladder.length}, ${side} × ${side} tokens`);
            radio.addEventListener("change", () => chosen(scale));
            const map = make("canvas", { className: "tokens", "aria-hidden": true });
            const image = make("canvas", { "aria-hidden": true });
            return { radio, map, image, label: make("label", {}, radio, map, image, make("span", { "aria-hidden": true }, `${side} × ${side}`)) };
        });
        const place = byId("scales", HTMLElement);
        place.style.setProperty("--scales", String(ladder.length));
        place.style.setProperty("--scales-narrow", String(ladder.length > 7 ? Math.ceil(ladder.length / 2) : ladder.length));
        place.replaceChildren(...this.#entries.map(({ label }) => label));
    }

    clear() {
        for (const [scale, { radio, map, image }] of this.#entries.entries()) {
            this.#shown[scale] = null;
            radio.disabled = true;
            radio.checked = false;
            map.width = image.width = 1;
            map.height = image.height = 1;
        }
    }

    /**
     * Shows the frames that are there.
     * @param {Frame[]} frames
     * @param {number} current
     * @param {boolean} growing
     */
    show(frames, current, growing) {
        for (const [scale, frame] of frames.entries()) {
            const { radio, map, image } = this.#entries[scale] ?? {};
            if (!radio || !frame) continue;
            radio.disabled = false;
            radio.checked = scale === current;
            if (this.#shown[scale] === frame) continue;
            this.#shown[scale] = frame;
            drawMap(map, frame.side, frame.tokens, colorOf);
            if (frame.bitmap) paint(image, frame.bitmap);
        }
        this.drawing(growing ? frames.length : -1);
    }

    /** Marks the scale that is computed now. @param {number} at */
    drawing(at) {
        for (const [scale, { label }] of this.#entries.entries()) label.classList.toggle("drawing", scale === at);
    }
}
