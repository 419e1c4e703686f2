export { formatPipeAddress, type PipeAddress, PipeAddressError, parsePipeAddress } from './address.ts';
export { type PipeOptions, pipeSocket, pipeStreams } from './connection.ts';
export { PipeError, type PipeErrorCode } from './errors.ts';
export { type PipeReport, PipeServer, type PipeServerOptions } from './pipe-server.ts';
export type { PlainSide, Traffic } from './relay.ts';
