// @ts-check
// Names of classes: synonyms with commas between, one of them may be a sign, as in "cat face, 🐱".

/**
 * @typedef {object} Named A class as the page shows it.
 * @property {number} label
 * @property {string} name as the model has it
 * @property {string} title the first of its names
 * @property {string} sign its sign, or ""
 * @property {string} words all names, in lower case
 */

const SIGN = /^[^\p{Letter}\p{Number}]*\p{Extended_Pictographic}[^\p{Letter}\p{Number}]*$/u;

/**
 * @param {{ label: number, name: string }} entry
 * @returns {Named}
 */
export function named({ label, name }) {
    const parts = name.split(",").map((part) => part.trim()).filter(Boolean);
    const sign = parts.find((part) => SIGN.test(part)) ?? "";
    const title = parts.find((part) => part !== sign) ?? (name || `class ${label}`);
    return { label, name, title, sign, words: name.toLowerCase() };
}

/**
 * Classes that fit a search, the best first: a number, a sign, the beginning of a name, of a word, any part.
 * @param {readonly Named[]} all
 * @param {string} query
 */
export function search(all, query) {
    const wanted = query.trim().toLowerCase();
    if (!wanted) return [...all];
    /** @param {Named} entry */
    const rank = ({ label, sign, words }) => {
        if (String(label) === wanted || sign === query.trim()) return 0;
        if (words.startsWith(wanted)) return 1;
        if (words.includes(`, ${wanted}`)) return 2;
        if (words.includes(` ${wanted}`)) return 3;
        return words.includes(wanted) ? 4 : 5;
    };
    const ranked = all.map((entry) => ({ entry, rank: rank(entry) })).filter(({ rank }) => rank < 5);
    return ranked.sort((a, b) => a.rank - b.rank || a.entry.label - b.entry.label).map(({ entry }) => entry);
}
