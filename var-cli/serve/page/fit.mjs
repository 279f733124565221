// @ts-check
// Sizes of images on the screen: whole multiples of their pixels, where they are small.

/** Below so many pixels a side, an image is shown in squares. */
const SMALL = 128;

/**
 * The side and the columns of so many images that fill a room: the largest, then with the fewest places left empty.
 * @param {number} count
 * @param {{ width: number, height: number }} room
 * @param {{ pixels: number, density: number, gap?: number }} image
 */
export function arrangement(count, { width, height }, { pixels, density, gap = 12 }) {
    // Of many images, some rows lie below the screen: they stay large enough to see.
    const least = Math.min(width, Math.max(128, Math.min(pixels, 160)));
    let best = { side: 0, columns: 1, empty: 0 };
    for (let columns = 1; columns <= count; columns += 1) {
        const rows = Math.ceil(count / columns);
        const wide = (width - (columns - 1) * gap) / columns;
        if (wide < least && columns > 1) break;
        const room = Math.min(wide, Math.max(least, (height - (rows - 1) * gap) / rows));
        const side = wholeMultiple(room, pixels, density);
        const empty = rows * columns - count;
        if (side > best.side || (side === best.side && empty <= best.empty)) best = { side, columns, empty };
    }
    return best;
}

/**
 * A side that shows each pixel as equally many of the screen's, where there is room for that.
 * @param {number} room
 * @param {number} pixels of the image's side
 * @param {number} density pixels of the screen in one of CSS
 */
export function wholeMultiple(room, pixels, density) {
    const side = Math.floor(room * density / pixels) * pixels / density;
    // Too much room would be left.
    return side < 0.7 * room ? Math.max(1, room) : side;
}

/**
 * Draws an image into a canvas of its size.
 * @param {HTMLCanvasElement} canvas
 * @param {ImageBitmap} bitmap
 */
export function paint(canvas, bitmap) {
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
    canvas.classList.toggle("crisp", bitmap.width <= SMALL);
    canvas.getContext("2d")?.drawImage(bitmap, 0, 0);
}
