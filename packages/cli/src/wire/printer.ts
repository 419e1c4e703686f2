import type { CapturedRecord } from '@keymux/trace';
import type { Output } from '../output.ts';
import { frameJson, frameLines } from './frame-lines.ts';

export interface FrameFilter {
  readonly connection: readonly number[];
  readonly stream: readonly number[];
}

/** Prints frames, those that were asked for. */
export function framePrinter(filter: FrameFilter, output: Output): (record: CapturedRecord) => void {
  const { connection, stream } = filter;
  return (record) => {
    if (connection.length > 0 && !connection.includes(record.connection)) return;
    if (stream.length > 0 && (record.stream === undefined || !stream.includes(record.stream))) return;
    output.result(output.json ? frameJson(record) : frameLines(record));
  };
}
