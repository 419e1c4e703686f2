// The only globals outside ECMAScript that the pure packages (frames, session) may use: every browser and
// Node has them. Their tsconfig has "types": [] and no DOM library, so anything else fails to compile.

declare class TextEncoder {
  encode(text?: string): Uint8Array<ArrayBuffer>;
}

declare class TextDecoder {
  constructor(label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean });
  decode(bytes?: ArrayBufferView | ArrayBuffer, options?: { stream?: boolean }): string;
}
