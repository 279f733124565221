// @ts-check
// Files from the user, and text for the clipboard.

import { byId } from "./elements.mjs";

/**
 * Calls for each file that is chosen in a field.
 * @param {string} id
 * @param {(file: File) => void} chosen
 */
export function onFile(id, chosen) {
    const input = byId(id, HTMLInputElement);
    input.addEventListener("change", () => {
        const [file] = input.files ?? [];
        // So that choosing the same file again is a change, too.
        input.value = "";
        if (file) chosen(file);
    });
}

/** @param {(file: File) => void} dropped */
export function onDrop(dropped) {
    addEventListener("dragover", (event) => {
        event.preventDefault();
        document.body.classList.add("dropping");
    });
    addEventListener("dragleave", (event) => {
        if (!event.relatedTarget) document.body.classList.remove("dropping");
    });
    addEventListener("drop", (event) => {
        event.preventDefault();
        document.body.classList.remove("dropping");
        const [file] = event.dataTransfer?.files ?? [];
        if (file) dropped(file);
    });
}

/**
 * Copies a text when a button is pressed, and says so on it.
 * @param {string} button
 * @param {string} name the part of the button that has its name
 * @param {() => string} text
 */
export function offerCopy(button, name, text) {
    const place = byId(name, HTMLElement);
    const usual = place.textContent;
    byId(button, HTMLButtonElement).addEventListener("click", async () => {
        try {
            await navigator.clipboard.writeText(text());
            place.textContent = "Copied";
        } catch {
            place.textContent = "Not allowed";
        }
        setTimeout(() => {
            place.textContent = usual;
        }, 1500);
    });
}
