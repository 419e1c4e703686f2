import { must, mustEqual } from '../checks.ts';
import type { World } from './world.ts';

/** After everything was ended properly and all is quiet: everything has arrived, and nothing is left over. */
export function checkNothingLeft(world: World): void {
  for (const end of world.ends) {
    mustEqual(end.session.streamCount, 0, `streams of the ${end.role} that are left`);
    mustEqual(end.session.output(), undefined, `what the ${end.role} has left to say`);
  }
  checkStreams(world);
  checkCredit(world);
  checkKeys(world);
}

/** Streams have carried what was sent on them, or, if they were reset, a beginning of it. */
function checkStreams(world: World): void {
  for (const stream of world.streams) {
    for (const [sender, flow] of stream.flows) {
      const received = world.peerOf(sender).received.get(stream.id) ?? Buffer.alloc(0);
      if (stream.reset) {
        must(flow.sent.subarray(0, received.length).equals(received), 'a reset stream adds nothing');
        continue;
      }
      must(!flow.undrained, `nobody heard that stream ${stream.id} has drained`);
      const lost = flow.sent.length - received.length;
      must(flow.sent.equals(received), `stream ${stream.id} lost ${lost} bytes`);
    }
  }
}

/** Nothing is on its way and all is consumed, so more than half of each session window is open again. */
function checkCredit(world: World): void {
  for (const end of world.ends) {
    const { session } = end.ledger;
    must(session > 32_768, `the session window of the ${end.role} stays at ${session}`);
  }
}

/** No stream holds a key any more: all but the one of session frames could be retired. */
function checkKeys(world: World): void {
  for (const end of world.ends) {
    const held = [...(world.usable.get(end) ?? [])].filter(
      (keyId) => end.keys?.sender(keyId) !== undefined && !end.keys.canRetire(keyId),
    );
    must(held.length <= 1, `keys ${held.join(' ')} of the ${end.role} are held by something`);
  }
}

/** A session that has failed says so once, and then nothing. */
export function checkLastWords(world: World): void {
  for (const end of world.ends) {
    if (end.session.error === undefined) continue;
    must(end.session.streamCount === 0 && end.session.over, 'nothing goes on after an error');
    end.session.output();
    end.session.receive(Uint8Array.of(0x80, 3, 0, 6), 0);
    mustEqual(
      [end.session.output(), end.session.nextEvent()],
      [undefined, undefined],
      'what follows the last words',
    );
  }
}
