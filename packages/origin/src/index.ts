export type { Demand } from './demand.ts';
export { demoSite } from './demo-site.ts';
export { type Handler, type OriginRequest, type OriginResponse, SealingUnavailableError } from './handler.ts';
export { Origin, type OriginOptions, type RequestReport } from './origin.ts';
export type { HostOptions } from './router.ts';
export { staticFiles } from './static-files.ts';
