// @ts-check
// A mask over the image, as it is painted.

/** Pixels of the canvas's side. */
export const SHOWN = 576;

/** @typedef {[[number, number], [number, number]]} Box two corners, row and column */

/**
 * Colors the cells that are made anew, with the lines between cells and the box that keys or the pointer mark.
 * @param {HTMLCanvasElement} canvas
 * @param {import("./mask.mjs").Mask | null} mask
 * @param {boolean} outpaint
 * @param {Box | null} box
 */
export function drawMask(canvas, mask, outpaint, box) {
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.clearRect(0, 0, SHOWN, SHOWN);
    if (!mask) return;
    const cell = SHOWN / mask.side;
    const anew = Number(!outpaint);
    context.fillStyle = "rgb(59 91 219 / .55)";
    for (const [at, painted] of mask.cells.entries()) {
        if (mask.painted && painted === anew) context.fillRect(at % mask.side * cell, Math.floor(at / mask.side) * cell, cell, cell);
    }
    context.lineWidth = 1;
    context.strokeStyle = "rgb(127 127 127 / .35)";
    for (let line = 1; line < mask.side; line += 1) {
        context.strokeRect(line * cell, -1, 0, SHOWN + 2);
        context.strokeRect(-1, line * cell, SHOWN + 2, 0);
    }
    if (box) drawBox(context, cell, box);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} cell
 * @param {Box} box
 */
function drawBox(context, cell, [[row, column], [otherRow, otherColumn]]) {
    const [left, top] = [Math.min(column, otherColumn) * cell, Math.min(row, otherRow) * cell];
    const [width, height] = [(Math.abs(column - otherColumn) + 1) * cell, (Math.abs(row - otherRow) + 1) * cell];
    // White on black is seen on every image.
    for (const [line, color] of /** @type {[number, string][]} */ ([[10, "#000"], [5, "#fff"]])) {
        context.lineWidth = line;
        context.strokeStyle = color;
        context.strokeRect(left + 5, top + 5, width - 10, height - 10);
    }
}
