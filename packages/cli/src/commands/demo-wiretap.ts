import type { ReadStream, WriteStream } from 'node:tty';
import { z } from 'zod';
import { flag, readConfig } from '../config.ts';
import { endBy, withBackstage } from '../demo/backstage.ts';
import { playScene } from '../demo/scene/acts.ts';
import { LEAST } from '../demo/scene/drawing.ts';
import { PlainView } from '../demo/scene/plain-view.ts';
import { drawSummary } from '../demo/scene/summary.ts';
import { TerminalView } from '../demo/scene/terminal-view.ts';
import { SILENT, type View } from '../demo/scene/view.ts';
import { ConfigError } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import type { Output } from '../output.ts';

const SPEED = 'write a number from 0.5 to 100, where 2 is twice as fast';

const schema = z.object({
  speed: z.coerce.number(SPEED).min(0.5, SPEED).max(100, SPEED).default(1),
  step: flag,
});

type Config = z.output<typeof schema>;

/** `keymux demo wiretap`: one exchange in three acts, and what a wiretap and intruders get of each. */
export async function demoWiretap(argv: Record<string, unknown>, output: Output): Promise<ExitCode> {
  const config = await readConfig(schema, argv);
  const started = performance.now();
  const result = await withBackstage(async (backstage) => {
    const view = viewFor(config, output);
    backstage.defer(() => view.close());
    return playScene(view, backstage);
  });
  const seconds = Math.round(performance.now() - started) / 1000;
  const { ok, ...rest } = result;
  output.result(output.json ? JSON.stringify({ ok, seconds, ...rest }, undefined, 2) : drawSummary(result));
  return ok ? EXIT.OK : EXIT.FAILURE;
}

function viewFor({ speed, step }: Config, output: Output): View {
  const { stdin, stdout } = process as { stdin: ReadStream; stdout: WriteStream };
  const hasRoom = stdout.columns >= LEAST.columns && stdout.rows >= LEAST.rows;
  const onTerminal = !output.json && stdout.isTTY && process.env.TERM !== 'dumb' && hasRoom;
  if (step && !(onTerminal && stdin.isTTY))
    throw new ConfigError('--step needs a terminal, and somebody who can press Enter there');
  if (output.json) return SILENT;
  if (!onTerminal) return new PlainView((text) => output.result(text));
  return new TerminalView(stdin, stdout, { speed, step, onEnd: () => endBy('SIGINT') });
}
