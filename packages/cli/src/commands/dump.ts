import type { ReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { readCapture, traceCapture } from '@keymux/trace';
import { z } from 'zod';
import { flag, numbers, readSettings } from '../config.ts';
import { ConfigError, fileFault } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { readKeyLog } from '../key-log-files.ts';
import type { Output } from '../output.ts';
import { framePrinter } from '../wire/printer.ts';

const schema = z.object({
  file: z.string().default('-'),
  keylog: z.string().optional(),
  connection: numbers,
  stream: numbers,
  payload: flag,
});

/** `keymux dump [FILE]` */
export async function dump(argv: Record<string, unknown>, output: Output): Promise<ExitCode> {
  const { values } = await readSettings(schema, argv);
  const { file, keylog, payload } = values;
  const keyLog = await readKeyLog(keylog);
  const print = framePrinter(values, output);
  const source = file === '-' ? process.stdin : await openFile(file);
  let frames = 0;
  for await (const record of traceCapture(readCapture(source), { keyLog, payload })) {
    frames++;
    print(record);
    await output.ready();
  }
  if (frames > 0) return EXIT.OK;
  output.warn(
    'the capture has no session that it saw begin; start capturing before the connection is opened',
  );
  return EXIT.FAILURE;
}

async function openFile(path: string): Promise<ReadStream> {
  try {
    const file = await open(path);
    if ((await file.stat()).isDirectory()) throw Object.assign(new Error(), { code: 'EISDIR' });
    return file.createReadStream();
  } catch (error) {
    throw new ConfigError(fileFault(path, 'read', error));
  }
}
