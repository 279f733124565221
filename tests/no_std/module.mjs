// Runs the program's WebAssembly: node module.mjs FILE.
import { readFile } from 'node:fs/promises';

let memory;
const print = (text, length) => process.stdout.write(new Uint8Array(memory.buffer, text, length));
const { instance } = await WebAssembly.instantiate(await readFile(process.argv[2]), { env: { print } });
memory = instance.exports.memory;
process.exitCode = instance.exports.start();
