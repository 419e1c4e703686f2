export { Channel } from './channel.ts';
export { HandOverError } from './errors.ts';
export { type GiveOptions, give } from './giver.ts';
export type { Message, Offer } from './messages.ts';
export { type Choose, Relay } from './relay.ts';
export { type Take, Taker, type TakerOptions } from './taker.ts';
