export { type Packet, readCapture } from './capture-file.ts';
export { type CapturedRecord, traceCapture } from './capture-trace.ts';
export { CarrierReader, type Side } from './carrier-reader.ts';
export { CaptureError } from './errors.ts';
export type { TraceRecord } from './record.ts';
export { SessionTrace, type TraceOptions } from './session-trace.ts';
