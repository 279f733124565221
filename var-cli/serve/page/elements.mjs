// @ts-check
// Elements of the page.

/**
 * The element of an id.
 * @template {Element} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 * @throws if there is none of this type
 */
export function byId(id, type) {
    const element = document.getElementById(id);
    if (element instanceof type) return element;
    throw new TypeError(`#${id}: a ${type.name} wanted, found ${element?.constructor.name ?? "none"}`);
}

/**
 * A new element: properties are set as such, those with a dash as attributes.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, unknown>} [properties]
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, properties = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
        if (name.includes("-") || name === "role") element.setAttribute(name, String(value));
        else /** @type {any} */ (element)[name] = value;
    }
    element.append(...children);
    return element;
}

/**
 * A symbol of icons.svg.
 * @param {string} name
 */
export function icon(name) {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    svg.setAttribute("class", "icon");
    svg.setAttribute("aria-hidden", "true");
    const use = document.createElementNS(space, "use");
    use.setAttribute("href", `icons.svg#${name}`);
    svg.append(use);
    return svg;
}

/**
 * The value of the checked radio button of a name.
 * @param {string} name
 */
export function checked(name) {
    const button = document.querySelector(`input[name="${name}"]:checked`);
    return button instanceof HTMLInputElement ? button.value : "";
}

/**
 * Checks the radio button of a name and value.
 * @param {string} name
 * @param {string} value
 */
export function check(name, value) {
    const button = document.querySelector(`input[name="${name}"][value="${value}"]`);
    if (button instanceof HTMLInputElement) button.checked = true;
}
