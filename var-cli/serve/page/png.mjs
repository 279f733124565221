// @ts-check
// Texts of a PNG file: tEXt, zTXt and iTXt, as `var` keeps an image's parameters.

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
/** The most bytes that all texts may take, unpacked. */
const LIMIT = 1 << 20;

/**
 * Keyword → text.
 * @param {Blob} file
 * @returns {Promise<Record<string, string>>}
 * @throws if it is no PNG file, is cut off or its texts are too long
 */
export async function readTexts(file) {
    const bytes = new Uint8Array(await file.arrayBuffer());
    if (SIGNATURE.some((byte, at) => bytes[at] !== byte)) throw new Error("not a PNG file");
    const view = new DataView(bytes.buffer);
    /** @type {Record<string, string>} */
    const texts = {};
    let left = LIMIT;
    for (let at = SIGNATURE.length; at + 12 <= bytes.length;) {
        const length = view.getUint32(at);
        const type = latin1(bytes.subarray(at + 4, at + 8));
        const data = bytes.subarray(at + 8, at + 8 + length);
        if (type === "IDAT" || type === "IEND") return texts;
        if (data.length < length) break;
        if (["tEXt", "zTXt", "iTXt"].includes(type)) {
            const { keyword, text } = await textOf(type, data, left);
            left -= text.length;
            texts[keyword] = text;
        }
        at += length + 12;
    }
    throw new Error("the PNG file is cut off");
}

/**
 * @param {string} type
 * @param {Uint8Array<ArrayBuffer>} data
 * @param {number} limit
 */
async function textOf(type, data, limit) {
    const end = data.indexOf(0);
    if (end < 1) throw new Error("the PNG file has a text without a keyword");
    const keyword = latin1(data.subarray(0, end));
    if (type === "tEXt") return { keyword, text: bounded(latin1(data.subarray(end + 1)), limit) };
    if (type === "zTXt") return { keyword, text: latin1(await unpacked(data.subarray(end + 2), limit)) };
    // Keyword, 0, whether it is packed, how, language, 0, translated keyword, 0, text.
    const text = data.indexOf(0, data.indexOf(0, end + 3) + 1) + 1;
    const body = data.subarray(text);
    return { keyword, text: bounded(new TextDecoder().decode(data[end + 1] ? await unpacked(body, limit) : body), limit) };
}

/** @param {Uint8Array} bytes */
const latin1 = (bytes) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");

/**
 * @param {string} text
 * @param {number} limit
 */
function bounded(text, limit) {
    if (text.length > limit) throw new Error(`the PNG file has texts of more than ${LIMIT} bytes`);
    return text;
}

/**
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @param {number} limit
 */
async function unpacked(bytes, limit) {
    const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
    const parts = [];
    let length = 0;
    for (let part; !(part = await reader.read()).done;) {
        length += part.value.length;
        if (length > limit) throw new Error(`the PNG file has texts of more than ${LIMIT} bytes`);
        parts.push(part.value);
    }
    return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/**
 * Width and height of a PNG file, or null of another.
 * @param {Blob} file
 * @returns {Promise<[number, number] | null>}
 */
export async function sizeOf(file) {
    const bytes = new Uint8Array(await file.slice(0, 24).arrayBuffer());
    if (bytes.length < 24 || SIGNATURE.some((byte, at) => bytes[at] !== byte)) return null;
    const view = new DataView(bytes.buffer);
    return [view.getUint32(16), view.getUint32(20)];
}
