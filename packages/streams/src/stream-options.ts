import type { HeaderList, StateReader, StateWriter } from '@keymux/frames';
import { loadKeyInfo, saveKeyInfo } from '@keymux/keys';
import type { KeyInfo } from '@keymux/session';

/** What is known of a stream from its start. */
export interface MuxStreamOptions {
  readonly id: number;
  readonly ours: boolean;
  /** The headers it was opened with. */
  readonly headers: HeaderList;
  readonly payloadOutside: boolean;
  /** The key of the SYN_STREAM. */
  readonly key: KeyInfo | undefined;
  /** No answer is wanted. */
  readonly unidirectional?: boolean;
  /** The stream it belongs to; 0 for none. */
  readonly associatedId?: number;
  /** 0 (highest) to 7. */
  readonly priority?: number;
}

/** The middle of SPDY's eight. */
export const DEFAULT_PRIORITY = 3;

export function saveStreamOptions(
  writer: StateWriter,
  options: Required<Omit<MuxStreamOptions, 'key'>>,
  key: KeyInfo | undefined,
): void {
  writer.u32(options.id);
  writer.flag(options.ours);
  writer.flag(options.payloadOutside);
  writer.flag(options.unidirectional);
  writer.u32(options.associatedId);
  writer.u8(options.priority);
  saveHeaders(writer, options.headers);
  writer.optional(key, (info) => saveKeyInfo(writer, info));
}

export function loadStreamOptions(reader: StateReader): MuxStreamOptions {
  return {
    id: reader.u32(),
    ours: reader.flag(),
    payloadOutside: reader.flag(),
    unidirectional: reader.flag(),
    associatedId: reader.u32(),
    priority: reader.u8(7),
    headers: loadHeaders(reader),
    key: reader.optional(() => loadKeyInfo(reader)),
  };
}

export function saveHeaders(writer: StateWriter, headers: HeaderList): void {
  writer.list(headers, ([name, value]) => {
    writer.text(name);
    writer.text(value);
  });
}

export function loadHeaders(reader: StateReader): HeaderList {
  const headers: [string, string][] = [];
  reader.list(() => headers.push([reader.text(), reader.text()]));
  return headers;
}
