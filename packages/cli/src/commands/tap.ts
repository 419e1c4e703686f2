import { type AddressInfo, createServer, type Socket } from 'node:net';
import { connectCarrier, parseAddress } from '@keymux/client';
import { CarrierReader, SessionTrace, type Side, type TraceOptions } from '@keymux/trace';
import { z } from 'zod';
import { flag, listenAddress, numbers, readSettings } from '../config.ts';
import { ConfigError } from '../errors.ts';
import { readKeyLog } from '../key-log-files.ts';
import type { Output } from '../output.ts';
import { formatAddress, serveUntilSignal } from '../serve.ts';
import { framePrinter } from '../wire/printer.ts';

const schema = z.object({
  target: z.string(),
  listen: listenAddress.default({ host: '127.0.0.1', port: 0 }),
  keylog: z.string().optional(),
  connection: numbers,
  stream: numbers,
  payload: flag,
});

/** `keymux tap TARGET` */
export async function tap(argv: Record<string, unknown>, output: Output): Promise<void> {
  const { values } = await readSettings(schema, argv);
  const { target, listen, keylog, payload } = values;
  const address = parseAddress(target);
  if (address.kind !== 'tcp' && address.kind !== 'unix')
    throw new ConfigError(`"${target}" is a URL: a tap passes bytes on, so give it HOST:PORT or unix:/PATH`);
  const keyLog = await readKeyLog(keylog);
  const print = framePrinter(values, output);
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
    sockets.add(client);
    client.once('close', () => sockets.delete(client));
    client.on('error', () => undefined); // `close` follows
    const names = { connection: ++connections, client: nameOf(client), server: target };
    connectCarrier(address).then(
      (onward) => {
        const look = onlooker({ keyLog, payload }, (record) => print({ ...names, ...record }));
        pass(client, onward as Socket, (bytes) => look('client', bytes));
        pass(onward as Socket, client, (bytes) => look('server', bytes));
      },
      (error: Error) => {
        output.log({ event: 'unreachable', target, error: error.message }, `${target}: ${error.message}`);
        client.destroy();
      },
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(listen, resolve);
  });
  const service = {
    close: async (): Promise<void> => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
  await serveUntilSignal('tap', service, server.address() as AddressInfo | string, output);
}

/** Says what the bytes of one connection are. Looking must not disturb: what it cannot read ends the looking, not the connection. */
function onlooker(
  options: TraceOptions,
  report: (record: ReturnType<SessionTrace['receive']>[number]) => void,
): (side: Side, bytes: Buffer) => void {
  const carrier = new CarrierReader();
  const session = new SessionTrace(options);
  let blind = false;
  return (side, bytes) => {
    if (blind) return;
    const time = Date.now();
    try {
      for (const piece of carrier.receive(side, bytes))
        for (const record of session.receive(piece.side, piece.bytes, time)) report(record);
    } catch (error) {
      blind = true;
      report({ time, from: side, type: 'ERROR', bytes: 0, fields: { message: (error as Error).message } });
    }
  };
}

/** Passes bytes on as they are, and ends as they end. */
function pass(from: Socket, to: Socket, look: (bytes: Buffer) => void): void {
  from.on('data', look);
  from.pipe(to);
  from.on('error', () => to.destroy());
  // A socket that was cut off has no end that the pipe could pass on.
  from.on('close', (failed) => (failed ? to.destroy() : to.end()));
}

function nameOf({ remoteAddress, remoteFamily, remotePort }: Socket): string {
  if (remoteAddress === undefined || remotePort === undefined) return 'local';
  return formatAddress({ address: remoteAddress, family: remoteFamily ?? '', port: remotePort });
}
