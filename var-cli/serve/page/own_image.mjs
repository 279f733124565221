// @ts-check
// An image of the user's own: the file as it is for the server, its middle square to look at.

import { byId } from "./elements.mjs";
import { paint } from "./fit.mjs";
import { sizeOf } from "./png.mjs";

/** Pixels of the square that is shown. */
const SHOWN = 576;
/** Above so many pixels a file is not unpacked here. */
const LARGEST = 50e6;

export class OwnImage {
    #canvas = byId("own-canvas", HTMLCanvasElement);
    #place = byId("preview", HTMLElement);
    #note = byId("preview-note", HTMLElement);
    /** @type {File | null} */
    file = null;
    /** Width and height as it is seen, if the browser can tell. @type {[number, number] | null} */
    size = null;

    /** @param {number} side pixels of the model's images */
    constructor(side) {
        this.side = side;
    }

    /** @param {File} file */
    async open(file) {
        this.file = file;
        this.size = null;
        this.#place.hidden = false;
        this.#canvas.width = this.#canvas.height = SHOWN;
        this.#note.textContent = file.name;
        this.#canvas.setAttribute("aria-label", file.name);
        try {
            const size = await sizeOf(file);
            if (size && size[0] * size[1] > LARGEST) throw new Error(`${size[0]} × ${size[1]} pixels are not shown here`);
            const bitmap = await createImageBitmap(file);
            if (file !== this.file) return;
            const { width, height } = bitmap;
            this.size = [width, height];
            const side = Math.min(width, height);
            if (width === height && side <= SHOWN) {
                paint(this.#canvas, bitmap);
            } else {
                const context = /** @type {CanvasRenderingContext2D} */ (this.#canvas.getContext("2d"));
                this.#canvas.classList.remove("crisp");
                context.imageSmoothingQuality = "high";
                context.drawImage(bitmap, (width - side) / 2, (height - side) / 2, side, side, 0, 0, SHOWN, SHOWN);
            }
            const cut = width === height ? "" : ", the middle square is taken";
            this.#note.textContent = `${file.name}: ${width} × ${height} pixels${cut}.`;
        } catch (fault) {
            const reason = fault instanceof Error && fault.message.includes("×") ? fault.message : "this browser cannot show it, the server may read it";
            this.#note.textContent = `${file.name}: ${reason}.`;
        }
    }
}
