// The model in a worker, so that the page stays alive while it computes. The page asks for one scale after another;
// to stop, it asks for no more.

import { Model, compile, instructionSet, rgba } from "./var.mjs";

let model;
let steps;
let compiled;

const calls = {
    /** Opens a file of the user's, or the model beside this file. */
    async open(set, file) {
        set ??= instructionSet();
        compiled ??= compile(set).catch((error) => {
            compiled = undefined;
            throw error;
        });
        const source = file ?? new URL("model.safetensors", import.meta.url);
        // The model so far stays in use if the new one is refused.
        model = await Model.open(await compiled, source, file ? file.name : "the built-in model");
        return { ...model.info, module: set };
    },
    begin(label, options) {
        steps = model.sample(label, options);
    },
    /** The next scale with its image, or null. */
    step() {
        const { done, value } = steps.next();
        if (done) return null;
        const { scale, scales, side } = value;
        return { scale, scales, side, tokens: value.tokens(), pixels: rgba(value.image()) };
    },
    end() {
        steps.return();
    },
};

onmessage = async ({ data: { id, name, values } }) => {
    try {
        postMessage({ id, answer: await calls[name](...values) });
    } catch (error) {
        postMessage({ id, error: error.message });
    }
};
