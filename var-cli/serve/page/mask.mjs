// @ts-check
// A mask: which cells of the finest token map are made anew.

/** So many steps can be undone. */
const STEPS = 50;

export class Mask {
    /** @type {Uint8Array<ArrayBuffer>[]} */
    #past = [];

    /** @param {number} side cells */
    constructor(side) {
        this.side = side;
        this.cells = new Uint8Array(side * side);
    }

    get painted() {
        return this.cells.reduce((sum, cell) => sum + cell, 0);
    }

    get undoable() {
        return this.#past.length > 0;
    }

    /** Begins a step that undo takes back as a whole. */
    begin() {
        this.#past.push(this.cells.slice());
        if (this.#past.length > STEPS) this.#past.shift();
    }

    undo() {
        this.cells = this.#past.pop() ?? this.cells;
    }

    clear() {
        this.begin();
        this.cells.fill(0);
    }

    /**
     * Paints or erases a round spot.
     * @param {number} row
     * @param {number} column
     * @param {number} size its width
     * @param {boolean} paints
     */
    spot(row, column, size, paints) {
        const middle = (size - 1) / 2;
        // A little more than a circle, so that 2 is a square and 3 a cross with its corners.
        const reach = middle ** 2 + middle + 0.01;
        const [top, left] = [row - Math.floor(middle), column - Math.floor(middle)];
        for (let down = 0; down < size; down += 1) {
            for (let right = 0; right < size; right += 1) {
                if ((down - middle) ** 2 + (right - middle) ** 2 <= reach) this.#set(top + down, left + right, paints);
            }
        }
    }

    /**
     * Paints a box, both corners within.
     * @param {[number, number]} from row and column
     * @param {[number, number]} to
     */
    box([row, column], [otherRow, otherColumn]) {
        for (let down = Math.min(row, otherRow); down <= Math.max(row, otherRow); down += 1) {
            for (let right = Math.min(column, otherColumn); right <= Math.max(column, otherColumn); right += 1) this.#set(down, right, true);
        }
    }

    /**
     * Paints the cells that are more white than black.
     * @param {ImageData} image a square
     */
    read({ data, width }) {
        this.begin();
        const sums = new Float64Array(this.side ** 2);
        const counts = new Float64Array(this.side ** 2);
        for (let pixel = 0; pixel < width * width; pixel += 1) {
            const [row, column] = [Math.floor(pixel / width), pixel % width].map((at) => Math.floor(at * this.side / width));
            sums[row * this.side + column] += (data[pixel * 4] + data[pixel * 4 + 1] + data[pixel * 4 + 2]) / 3;
            counts[row * this.side + column] += 1;
        }
        this.cells = Uint8Array.from(sums, (sum, cell) => Number(sum > 127.5 * counts[cell]));
    }

    /**
     * A PNG file of an image's size, white where its middle square is painted.
     * @param {number} width
     * @param {number} height
     * @returns {Promise<Blob>}
     */
    async png(width, height) {
        const canvas = new OffscreenCanvas(width, height);
        const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
        context.fillStyle = "#000";
        context.fillRect(0, 0, width, height);
        context.fillStyle = "#fff";
        const square = Math.min(width, height);
        context.translate(Math.floor((width - square) / 2), Math.floor((height - square) / 2));
        /** @param {number} at */
        const edge = (at) => Math.round(at * square / this.side);
        for (const [cell, painted] of this.cells.entries()) {
            if (!painted) continue;
            const [row, column] = [Math.floor(cell / this.side), cell % this.side];
            context.fillRect(edge(column), edge(row), edge(column + 1) - edge(column), edge(row + 1) - edge(row));
        }
        return canvas.convertToBlob({ type: "image/png" });
    }

    /**
     * @param {number} row
     * @param {number} column
     * @param {boolean} paints
     */
    #set(row, column, paints) {
        if (row < 0 || column < 0 || row >= this.side || column >= this.side) return;
        this.cells[row * this.side + column] = Number(paints);
    }
}
