// @ts-check
// Painting of a mask over the image, by pointer or by keys.

import { byId, checked } from "./elements.mjs";
import { Mask } from "./mask.mjs";
import { SHOWN, drawMask } from "./mask_view.mjs";

/** @typedef {import("./mask_view.mjs").Box} Box */

export class Painter {
    #place = byId("painter", HTMLElement);
    #canvas = byId("mask", HTMLCanvasElement);
    #said = byId("painter-said", HTMLElement);
    #cursor = /** @type {[number, number]} */ ([0, 0]);
    /** The first corner of a box. @type {[number, number] | null} */
    #corner = null;
    #drags = false;
    #enabled = false;
    /** Called after a change. */
    changed = () => {};

    /** @param {number} side cells of the finest map */
    constructor(side) {
        this.mask = new Mask(side);
        this.#canvas.width = this.#canvas.height = SHOWN;
        this.#place.addEventListener("pointerdown", (event) => this.#press(event));
        this.#place.addEventListener("pointermove", (event) => this.#move(event));
        for (const name of ["pointerup", "pointercancel"]) this.#place.addEventListener(name, () => this.#release());
        this.#place.addEventListener("keydown", (event) => this.#key(event));
        for (const name of ["focus", "blur"]) this.#place.addEventListener(name, () => this.draw());
        byId("undo", HTMLButtonElement).addEventListener("click", () => this.#undo());
        byId("clear", HTMLButtonElement).addEventListener("click", () => {
            this.mask.clear();
            this.#change("nothing is painted");
        });
        byId("painting", HTMLElement).addEventListener("change", () => this.draw());
    }

    /** @param {boolean} enabled */
    set enabled(enabled) {
        this.#enabled = enabled;
        if (enabled) this.#place.tabIndex = 0;
        else this.#place.removeAttribute("tabindex");
        this.#place.classList.toggle("paints", enabled);
        this.#place.setAttribute("role", enabled ? "application" : "group");
        this.draw();
    }

    /**
     * Takes a mask from a file: the middle square, white where to paint.
     * @param {Blob} file
     */
    async read(file) {
        const bitmap = await createImageBitmap(file);
        const side = Math.min(bitmap.width, bitmap.height);
        const canvas = new OffscreenCanvas(SHOWN, SHOWN);
        const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
        context.drawImage(bitmap, (bitmap.width - side) / 2, (bitmap.height - side) / 2, side, side, 0, 0, SHOWN, SHOWN);
        this.mask.read(context.getImageData(0, 0, SHOWN, SHOWN));
        this.#change(`${this.mask.painted} cells are painted`);
    }

    get #size() {
        return byId("brush-size", HTMLInputElement).valueAsNumber;
    }

    get #tool() {
        return checked("tool");
    }

    /** @param {PointerEvent} event */
    #cell(event) {
        const { left, top, width } = this.#canvas.getBoundingClientRect();
        return /** @type {[number, number]} */ ([event.clientY - top, event.clientX - left]
            .map((at) => Math.max(0, Math.min(this.mask.side - 1, Math.floor(at / width * this.mask.side)))));
    }

    /** @param {PointerEvent} event */
    #press(event) {
        if (!this.#enabled || event.button) return;
        this.#place.setPointerCapture(event.pointerId);
        this.#drags = true;
        this.#cursor = this.#cell(event);
        this.mask.begin();
        if (this.#tool === "box") this.#corner = this.#cursor;
        this.#stroke();
    }

    /** @param {PointerEvent} event */
    #move(event) {
        if (!this.#drags) return;
        // The pointer may have left out cells between two events.
        const [from, to] = [this.#cursor, this.#cell(event)];
        const steps = Math.max(Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1]), 1);
        for (let step = 1; step <= steps; step += 1) {
            /** @param {0 | 1} axis */
            const between = (axis) => Math.round(from[axis] + (to[axis] - from[axis]) * step / steps);
            this.#cursor = [between(0), between(1)];
            this.#stroke();
        }
    }

    #release() {
        if (!this.#drags) return;
        this.#drags = false;
        if (this.#corner) this.mask.box(this.#corner, this.#cursor);
        this.#corner = null;
        this.#change(`${this.mask.painted} cells are painted`);
    }

    #stroke() {
        if (this.#tool !== "box") this.mask.spot(...this.#cursor, this.#size, this.#tool === "brush");
        this.draw();
    }

    /** @param {KeyboardEvent} event */
    #key(event) {
        if (!this.#enabled) return;
        const last = this.mask.side - 1;
        const [row, column] = this.#cursor;
        const moves = { ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1], Home: [row, 0], End: [row, last] };
        if (event.key in moves && !event.ctrlKey && !event.altKey && !event.metaKey) {
            const to = moves[/** @type {keyof typeof moves} */ (event.key)];
            this.#cursor = [Math.max(0, Math.min(last, to[0])), Math.max(0, Math.min(last, to[1]))];
            if (event.shiftKey && this.#tool !== "box") this.#paintHere();
            this.#tell();
        } else if (event.key === " " || event.key === "Enter") {
            this.#paintHere();
        } else if (event.key === "Escape" && this.#corner) {
            this.#corner = null;
            this.#tell();
        } else if (event.key === "z" && (event.ctrlKey || event.metaKey)) {
            this.#undo();
        } else if (event.key === "Delete") {
            this.mask.clear();
            this.#change("nothing is painted");
        } else {
            return;
        }
        event.preventDefault();
    }

    #paintHere() {
        if (this.#tool === "box" && !this.#corner) {
            this.#corner = this.#cursor;
            this.#tell("first corner, ");
            return;
        }
        this.mask.begin();
        if (this.#corner) this.mask.box(this.#corner, this.#cursor);
        else this.mask.spot(...this.#cursor, this.#size, this.#tool === "brush");
        this.#corner = null;
        this.#change();
    }

    #undo() {
        this.mask.undo();
        this.#change(`${this.mask.painted} cells are painted`);
    }

    /** @param {string} [text] */
    #change(text) {
        byId("undo", HTMLButtonElement).disabled = !this.mask.undoable;
        byId("clear", HTMLButtonElement).disabled = !this.mask.painted;
        if (text === undefined) this.#tell();
        else this.#said.textContent = text;
        this.draw();
        this.changed();
    }

    /** @param {string} [before] */
    #tell(before = "") {
        const [row, column] = this.#cursor;
        const painted = this.mask.cells[row * this.mask.side + column] ? "painted" : "kept";
        this.#said.textContent = `${before}row ${row + 1}, column ${column + 1}, ${painted}`;
        this.draw();
    }

    /** Draws the mask, and the cursor where keys move it. */
    draw() {
        const keys = document.activeElement === this.#place && this.#place.matches(":focus-visible");
        const box = this.#corner ? [this.#corner, this.#cursor] : keys ? [this.#cursor, this.#cursor] : null;
        drawMask(this.#canvas, this.#enabled ? this.mask : null, checked("outpaint") === "true", /** @type {Box | null} */ (box));
    }
}
