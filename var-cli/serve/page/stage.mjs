// @ts-check
// The images of a run, growing, and each scale to look back at.

import { byId, make } from "./elements.mjs";
import { arrangement, paint } from "./fit.mjs";
import { showScores } from "./scores.mjs";
import { Strip } from "./strip.mjs";

/** @typedef {import("./run.mjs").Run} Run */

export class Stage {
    #stage = byId("stage", HTMLElement);
    #hero = byId("hero", HTMLElement);
    #caption = byId("caption", HTMLElement);
    #actions = byId("actions", HTMLElement);
    #download = byId("download", HTMLAnchorElement);
    #status = byId("status", HTMLElement);
    #strip;
    /** @type {Run | null} */
    run = null;
    /** A run to scroll to when it is shown. @type {Run | null} */
    awaited = null;
    /** The image that the strip and the buttons are about. */
    selected = 0;
    /** A scale to look back at, or the latest. @type {number | null} */
    #back = null;
    #said = -1;

    /**
     * @param {import("./api.mjs").ModelInfo} model
     * @param {(label: number | null) => string} nameOf
     */
    constructor(model, nameOf) {
        this.model = model;
        this.nameOf = nameOf;
        this.#strip = new Strip(model.ladder, (scale) => {
            this.#back = scale + 1 === this.#latest() ? null : scale;
            this.#draw();
        });
        new ResizeObserver(() => this.#fit()).observe(this.#stage);
        this.#showEmpty();
    }

    /** @param {string} text */
    say(text) {
        this.#status.textContent = text;
    }

    /**
     * Shows a run from now on.
     * @param {Run} run
     * @param {number} [selected]
     */
    show(run, selected = 0) {
        this.run?.listeners.delete(this.#changed);
        this.run = run;
        this.selected = selected;
        this.#back = null;
        this.#said = -1;
        run.listeners.add(this.#changed);
        this.#stage.classList.add("filled");
        byId("strip", HTMLElement).hidden = run.settings.task === "score";
        byId("scores", HTMLElement).hidden = true;
        this.#hero.hidden = run.settings.task === "score";
        this.#strip.clear();
        this.#arrange();
        this.#draw();
        if (run.scored) showScores(run.scored, this.nameOf);
        this.#state();
        if (run === this.awaited) this.#reveal();
        this.awaited = null;
    }

    /** Scrolls to the image where it lies above the form. */
    #reveal() {
        if (!matchMedia("(max-width: 43.99rem)").matches) return;
        const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
        this.#stage.scrollIntoView({ block: "start", behavior: still ? "instant" : "smooth" });
    }

    /** The image that the buttons are about. */
    get drawn() {
        return this.run?.images[this.selected] ?? null;
    }

    /** @type {(change: import("./run.mjs").Change, image?: number) => void} */
    #changed = (change, image) => {
        const run = /** @type {Run} */ (this.run);
        if ((change === "frame" || change === "image") && image !== undefined) this.#drawImage(image);
        if (change === "progress") this.say(`${run.progress.done} of ${run.progress.of} classes are scored`);
        if (change === "scores" && run.scored) showScores(run.scored, this.nameOf);
        if (change === "frame" && image === this.selected) {
            const scale = this.#latest();
            if (scale > this.#said) this.say(`Scale ${scale} of ${run.scales}: ${this.model.ladder[scale - 1]} × ${this.model.ladder[scale - 1]} tokens`);
            this.#said = scale;
        }
        if (change === "state" || change === "image") this.#state();
    };

    /** How many scales the selected image has. */
    #latest() {
        return this.run?.images[this.selected]?.frames.length ?? 0;
    }

    /** A place for each image. */
    #arrange() {
        const run = /** @type {Run} */ (this.run);
        this.#hero.replaceChildren(...Array.from({ length: run.total }, (_, at) => {
            const canvas = make("canvas", { width: this.model.side, height: this.model.side, role: "img", "aria-label": `${run.titleOf(at)}, not begun` });
            if (run.total === 1) return canvas;
            const button = make("button", { type: "button", "aria-pressed": at === this.selected }, canvas);
            button.addEventListener("click", () => this.#select(at));
            return button;
        }));
        this.#fit();
    }

    /** @param {number} at */
    #select(at) {
        this.selected = at;
        this.#strip.clear();
        this.#draw();
        this.#state();
    }

    #draw() {
        for (const at of this.run?.images.keys() ?? []) this.#drawImage(at);
    }

    /**
     * Draws an image after the scale that is looked at, and the strip if it is the selected one.
     * @param {number} at
     */
    #drawImage(at) {
        const run = /** @type {Run} */ (this.run);
        const frames = run.images[at]?.frames ?? [];
        const place = this.#hero.children[at];
        const canvas = place instanceof HTMLCanvasElement ? place : place?.firstElementChild;
        const scale = Math.min(this.#back ?? Infinity, frames.length - 1);
        if (canvas instanceof HTMLCanvasElement && scale >= 0) {
            const { bitmap } = frames[scale];
            if (bitmap) paint(canvas, bitmap);
            canvas.setAttribute("aria-label", `${run.titleOf(at)}, after scale ${scale + 1} of ${run.scales}`);
        }
        if (place instanceof HTMLButtonElement) place.setAttribute("aria-pressed", String(at === this.selected));
        if (at === this.selected) this.#strip.show(frames, this.#back ?? frames.length - 1, run.state === "running");
    }

    #state() {
        const run = /** @type {Run} */ (this.run);
        const image = this.drawn;
        const of = run.total > 1 ? `image ${this.selected + 1} of ${run.total}` : "";
        this.#caption.replaceChildren(run.titleOf(this.selected), " ", make("span", {}, of));
        const file = image?.file ?? image?.frames.at(-1)?.png;
        this.#actions.hidden = !file || !run.over;
        if (file && run.over) {
            URL.revokeObjectURL(this.#download.href);
            this.#download.href = URL.createObjectURL(file);
            this.#download.download = `${run.titleOf(this.selected).replaceAll(/[^\p{Letter}\p{Number}]+/gu, "-")}${of && `-${this.selected}`}.png`;
        }
        const stopped = image?.frames.length ? `Stopped after scale ${image.frames.length} of ${run.scales}; the image is kept` : "Stopped before the first scale";
        const ends = { queued: "", running: "", done: `Done in ${run.seconds.toFixed(1)} s`, failed: "", canceled: stopped };
        if (ends[run.state]) this.say(`${ends[run.state]}.`);
        if (run.state === "queued") this.say(run.place ? `In the queue, place ${run.place}` : "In the queue");
        if (run.state === "running" && !run.images.length) this.say("Started");
        this.#strip.drawing(run.state === "running" ? this.#latest() : -1);
    }

    #fit() {
        const canvases = [...this.#hero.querySelectorAll("canvas")].filter((canvas) => canvas.role === "img");
        const { minHeight, paddingTop, paddingLeft } = getComputedStyle(this.#hero);
        const room = { width: this.#hero.clientWidth - 2 * parseFloat(paddingLeft), height: parseFloat(minHeight) - 2 * parseFloat(paddingTop) };
        if (!canvases.length) return;
        const { side, columns } = arrangement(canvases.length, room, { pixels: this.model.side, density: devicePixelRatio });
        this.#hero.style.gridTemplateColumns = `repeat(${columns}, auto)`;
        for (const canvas of canvases) canvas.style.width = canvas.style.height = `${side}px`;
    }

    /** The ladder, before the first image. */
    #showEmpty() {
        const ladder = make("div", { id: "ladder", "aria-hidden": true });
        const pitch = Math.max(2, Math.min(10, Math.floor(380 / this.model.ladder.reduce((sum, side) => sum + side, 0))));
        for (const side of this.model.ladder) {
            const canvas = make("canvas", { width: side * pitch, height: side * pitch });
            const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
            for (let cell = 0; cell < side * side; cell += 1) {
                context.fillStyle = `hsl(228 45% ${52 + (cell * 7 + side * 5) % 23}% / .55)`;
                context.fillRect(cell % side * pitch, Math.floor(cell / side) * pitch, pitch - 1, pitch - 1);
            }
            ladder.append(canvas);
        }
        const { ladder: sides } = this.model;
        const text = `An image grows from ${sides[0]} × ${sides[0]} tokens to ${sides.at(-1)} × ${sides.at(-1)}, and after each of ${sides.length} scales there is a true image to see.`;
        this.#hero.replaceChildren(make("div", { id: "empty" }, ladder, make("p", {}, text)));
    }
}
