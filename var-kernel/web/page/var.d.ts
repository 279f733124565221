/** Which of the two modules an engine runs; both give the same bytes. */
export type InstructionSet = "relaxed" | "simd";

/** @throws where WebAssembly has no SIMD */
export function instructionSet(): InstructionSet;

/** Fetches and compiles the module for an instruction set, by default the best. */
export function compile(set?: InstructionSet): Promise<WebAssembly.Module>;

/** Bytes of an image, side × side × 3 → side × side × 4, opaque: for ImageData. */
export function rgba(rgb: Uint8Array): Uint8ClampedArray<ArrayBuffer>;

/** A model in memory of its own, which goes with it. */
export class Model {
    private constructor();

    /**
     * Opens a safetensors file as `var convert` writes it: its bytes, a file of the user's, or its address.
     * @param name in messages
     * @throws if it is no model, is damaged, or does not fit memory: the error's message says why
     */
    static open(
        module: WebAssembly.Module,
        source: Uint8Array | ArrayBuffer | Blob | URL | string,
        name?: string,
    ): Promise<Model>;

    readonly info: ModelInfo;

    /**
     * Draws an image of each class, a scale at a time. To leave the loop early ends the run, and so does the start of
     * another.
     * @param classes numbers or names; `info.classes` draws without a class
     * @throws if a class or an option is out of range, or a value is not finite
     */
    sample(classes: Class | readonly Class[], options?: SampleOptions): Generator<Step, void, void>;

    /** Tokens of an image of side × side × 3 bytes. */
    encode(rgb: Uint8Array): Uint32Array<ArrayBuffer>;

    /** The image of an image's tokens: side × side × 3 bytes. */
    decode(tokens: ArrayLike<number>): Uint8Array<ArrayBuffer>;

    /** An image encoded and decoded again. */
    reconstruct(rgb: Uint8Array): Uint8Array<ArrayBuffer>;

    /** The number of a class. */
    label(name: Class): number;
}

export type Class = number | string;

/** A model's sizes; a half that it lacks leaves nulls. */
export interface ModelInfo {
    /** Width and height of an image. */
    readonly side: number | null;
    /** Sides of the maps of tokens, coarsest first. */
    readonly ladder: readonly number[];
    readonly codes: number | null;
    readonly depth: number | null;
    readonly width: number | null;
    readonly classes: number | null;
    /** In order; empty if the file has none. */
    readonly classNames: readonly string[];
    readonly instructionSet: string;
    /** How the file was read, where that wants saying. */
    readonly notes: readonly string[];
}

/** Settings of a run; the defaults are those of the paper's evaluation. */
export interface SampleOptions {
    /** 64 bits: 0. */
    readonly seed?: number | bigint | string;
    /** Index of the first image; an image depends on seed and index alone: 0. */
    readonly firstIndex?: number;
    /** Classifier-free guidance at the last scale, 0 for none: 1.5. */
    readonly cfg?: number;
    /** Divides the logits after guidance, 0.01 to 100: 1. */
    readonly temperature?: number;
    /** Keep the so many most likely tokens, 0 for all: 900. */
    readonly topK?: number;
    /** Keep the most likely tokens that reach this probability, 0 for all: 0.96. */
    readonly topP?: number;
    /** Mix codes by Gumbel softmax instead of taking the drawn one: false. */
    readonly moreSmooth?: boolean;
}

/** State after a scale, until the next. */
export interface Step {
    readonly scale: number;
    readonly scales: number;
    /** Side of the scale's map of tokens. */
    readonly side: number;

    /** Tokens of this scale of an image of the run, row by row. */
    tokens(image?: number): Uint32Array<ArrayBuffer>;

    /** An image of the run as it would look if the run ended here: side × side × 3 bytes. */
    image(image?: number): Uint8Array<ArrayBuffer>;
}
