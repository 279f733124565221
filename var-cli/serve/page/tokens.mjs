// @ts-check
// Token maps as colored cells.

/**
 * A color for a code: neighbors in the codebook are strangers, so its bits are scattered over hue and lightness.
 * @param {number} code
 * @returns {[number, number, number]} bytes of red, green and blue
 */
export function colorOf(code) {
    const scattered = Math.imul(code + 1, 0x9e3779b1) >>> 0;
    const hue = (scattered >>> 16) / 65536 * 12;
    const lightness = 0.38 + (scattered >>> 8 & 255) / 255 * 0.34;
    const strength = (0.42 + (scattered & 255) / 255 * 0.24) * Math.min(lightness, 1 - lightness);
    /** @param {number} shift */
    const channel = (shift) => {
        const part = (hue + shift) % 12;
        return Math.round(255 * (lightness - strength * Math.max(-1, Math.min(part - 3, 9 - part, 1))));
    };
    return [channel(0), channel(8), channel(4)];
}

/**
 * Draws a map of side × side values, a pixel each.
 * @param {HTMLCanvasElement} canvas
 * @param {number} side
 * @param {readonly number[]} values
 * @param {(value: number) => readonly number[]} color bytes of red, green and blue
 */
export function drawMap(canvas, side, values, color) {
    canvas.width = canvas.height = side;
    const pixels = new ImageData(side, side);
    for (let cell = 0; cell < side * side; cell += 1) pixels.data.set([...color(values[cell]), 255], cell * 4);
    canvas.getContext("2d")?.putImageData(pixels, 0, 0);
}
