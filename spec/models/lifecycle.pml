/*
 * Keys of one session from the first message to the end (spec 3.1, 3.2, 3.3, 4.3): two sides that begin runs of two
 * messages, seal, retire keys and close, in every order, over a carrier that keeps order.
 *
 * The attacker sees everything and can put KEY_NEGO frames in, also copies of what either side has sent, and copies of
 * envelopes. Cryptography is perfect: every run makes another key; an envelope opens if its key and counter are those
 * that come next.
 *
 * -DNO_PARITY   both sides use any ID for their runs
 * -DREUSE       a retired ID may be used again
 * -DRUDE        the sides go on sealing under a key that they have retired: the receiver must refuse
 * -DNO_RETIRED  with RUDE: the receiver does not look whether the key is retired
 * -DNO_CLOSED   a side that has closed goes on handling what comes
 * -DEARLY       the initiator seals at once, before the responder has answered (spec 3.7)
 * -DACCEPTS     the responder never rejects (the peer that early data is for)
 * -DSANITY      asks whether all keys can live and retire; spin must say yes
 */

#ifndef IDS
#define IDS     2  /* up to 3: 1 and 3 are the client's, 2 the server's */
#endif
#define CLIENT  0
#define SERVER  1
#ifndef ATTACKS
#define ATTACKS 2  /* frames that the attacker puts in, at most */
#endif

#ifndef DEPTH
#define DEPTH   2  /* frames on their way in each direction, at most */
#endif

mtype = { FIRST, SECOND, REJECT, SEALED, RETIRE, CLOSE };
mtype = { FREE, RUNNING, ESTABLISHED, OVER };

/* kind, key ID, key (the number of its run), counter */
chan carrier[2] = [DEPTH] of { mtype, byte, byte, byte };  /* by receiver */

typedef Key {
  mtype state;
  byte secret;        /* the number of the run that made it; 0: none */
  byte sealed;
  byte opened;
  bool retiredByUs;
  bool retiredByPeer
};
typedef Side {
  Key key[IDS + 1];
  byte highest[2];    /* the highest ID that either side has used */
  bool closed
};
Side side[2];

byte runs;            /* begun: gives every run its own key */
byte attacks;
byte ran[IDS + 1];    /* what the attacker has seen: the run of the last first message with this ID, */
byte lastSealed[IDS + 1];  /* and the last envelope under it: run and counter */
byte lastCounter[IDS + 1];
byte named[IDS + 1];  /* for the properties: the key that this ID names, on whichever side it was first */

/* Properties: each says "violated". */
bool id_names_two_keys;      /* 3.1: an ID is never given to a second key in the same session */
bool opened_after_retire;    /* 3.3: no envelope is accepted after its sender retired the key */
bool opened_after_close;     /* 2.2, 3.2: nothing is accepted by a side that has closed */
bool honest_session_died;    /* 3.3: without an attack, nothing ends the session, REJECT included */

#ifdef RUDE
#define SEALS 2
#define MAY_SEAL(me, id) true
#else
#define SEALS 1  /* envelopes under each key before RETIRE, at most */
#define MAY_SEAL(me, id) (!side[me].key[id].retiredByUs)
#endif
#define MAY_BEGIN(me, id) (side[me].key[id].state == FREE || side[me].key[id].state == ESTABLISHED)

/* Odd IDs are the client's, even ones the server's. */
#define OWNER(id) (1 - (id) % 2)

inline fail(me)
{
  side[me].closed = true;
  honest_session_died = attacks == 0;
  assert(!honest_session_died)
}

inline establish(me, id, theRun)
{
  side[me].key[id].state = ESTABLISHED;
  side[me].key[id].secret = theRun;
  side[me].key[id].sealed = 0;
  side[me].key[id].opened = 0;
  side[me].key[id].retiredByUs = false;
  side[me].key[id].retiredByPeer = false;
  id_names_two_keys = named[id] != 0 && named[id] != theRun;
  assert(!id_names_two_keys);
  named[id] = theRun
}

inline begin(me, id)
{
  runs++;
  side[me].highest[me] = id;
  side[me].key[id].state = RUNNING;
  side[me].key[id].secret = runs;
  side[me].key[id].sealed = 0;
  ran[id] = runs;
  carrier[1 - me] ! FIRST(id, runs, 0);
#ifdef EARLY
  carrier[1 - me] ! SEALED(id, runs, 0);
  side[me].key[id].sealed = 1
#endif
}

/* The sender knows of its own runs which ID is free; the receiver refuses what is not. */
#ifdef REUSE
#define MAY_USE(me, whose, id) (id > side[me].highest[whose] || (side[me].key[id].retiredByUs && side[me].key[id].retiredByPeer))
#else
#define MAY_USE(me, whose, id) (id > side[me].highest[whose])
#endif
#ifdef NO_PARITY
#define RIGHT_SIDE(whose, id) true
#else
#define RIGHT_SIDE(whose, id) (OWNER(id) == whose)
#endif

inline receiveFirst(me, id, theRun)
{
  if
  :: !RIGHT_SIDE(1 - me, id) || !MAY_USE(me, 1 - me, id) -> fail(me)
  :: else ->
     side[me].highest[1 - me] = id;
     if
     :: establish(me, id, theRun);
        carrier[1 - me] ! SECOND(id, theRun, 0)
#ifndef ACCEPTS
     :: side[me].key[id].state = OVER;
        carrier[1 - me] ! REJECT(id, 0, 0)
#endif
     fi
  fi
}

inline receiveSecond(me, id, theRun)
{
  if
  :: side[me].key[id].state == RUNNING && side[me].key[id].secret == theRun ->
     side[me].key[id].opened = 0;
#ifdef EARLY
     sealedEarly = side[me].key[id].sealed;
     establish(me, id, theRun);
     side[me].key[id].sealed = sealedEarly;
     sealedEarly = 0
#else
     establish(me, id, theRun)
#endif
  :: else -> fail(me)
  fi
}

inline receiveReject(me, id)
{
  if
  :: side[me].key[id].state == RUNNING -> side[me].key[id].state = OVER
  :: else -> fail(me)
  fi
}

inline receiveEnvelope(me, what, id, theRun, theCounter)
{
  if
  :: side[me].key[id].state != ESTABLISHED || side[me].key[id].secret != theRun || side[me].key[id].opened != theCounter -> fail(me)
#ifndef NO_RETIRED
  :: side[me].key[id].retiredByPeer ->
#ifdef RUDE
     side[me].closed = true  /* the peer's fault */
#else
     fail(me)
#endif
#endif
  :: else ->
     opened_after_retire = side[me].key[id].retiredByPeer;
     assert(!opened_after_retire);
     opened_after_close = side[me].closed;
     assert(!opened_after_close);
     side[me].key[id].opened++;
     if
     :: what == RETIRE -> side[me].key[id].retiredByPeer = true
     :: else
     fi;
#ifdef SANITY
     assert(!(side[me].key[1].retiredByPeer && side[me].key[2].retiredByUs && side[me].key[3].retiredByPeer));
#endif
  fi
}

inline receive(me)
{
  carrier[me] ? kind(x, secret, count);
  handle(me)
}

inline handle(me)
{
  if
#ifndef NO_CLOSED
  :: side[me].closed  /* handles nothing that follows */
#endif
  :: else ->
     if
     :: kind == FIRST -> receiveFirst(me, x, secret)
     :: kind == SECOND -> receiveSecond(me, x, secret)
     :: kind == REJECT -> receiveReject(me, x)
     :: kind == CLOSE -> side[me].closed = true
     :: else -> receiveEnvelope(me, kind, x, secret, count)
     fi
  fi
}

inline seal(me, what, id)
{
  carrier[1 - me] ! what(id, side[me].key[id].secret, side[me].key[id].sealed);
  lastSealed[id] = side[me].key[id].secret;
  lastCounter[id] = side[me].key[id].sealed;
  side[me].key[id].sealed++
}

inline pick(x)
{
  if
  :: x = 1
  :: x = 2
#if IDS > 2
  :: x = 3
#endif
  fi
}

inline act(me)
{
  pick(x);
  if
  :: runs < 3 && RIGHT_SIDE(me, x) && MAY_USE(me, me, x) && MAY_BEGIN(me, x) -> begin(me, x)
  :: side[me].key[x].state == ESTABLISHED && side[me].key[x].sealed < SEALS && MAY_SEAL(me, x) -> seal(me, SEALED, x)
  :: side[me].key[x].state == ESTABLISHED && !side[me].key[x].retiredByUs ->
     seal(me, RETIRE, x);
     side[me].key[x].retiredByUs = true
  :: carrier[1 - me] ! CLOSE(0, 0, 0);
     side[me].closed = true
  fi
}

init
{
  mtype kind;
  byte x, secret, count;
#ifdef EARLY
  byte sealedEarly;
#endif

  atomic {
    byte s;
    for (s : 0 .. 1) {
      for (x : 1 .. IDS) { side[s].key[x].state = FREE }
    }
    s = 0; x = 0
  }

  do
  :: atomic { !side[CLIENT].closed && nfull(carrier[SERVER]) -> act(CLIENT); x = 0 }
  :: atomic { !side[SERVER].closed && nfull(carrier[CLIENT]) -> act(SERVER); x = 0 }
  :: atomic { nempty(carrier[CLIENT]) && nfull(carrier[SERVER]) -> receive(CLIENT); kind = 0; x = 0; secret = 0; count = 0 }
  :: atomic { nempty(carrier[SERVER]) && nfull(carrier[CLIENT]) -> receive(SERVER); kind = 0; x = 0; secret = 0; count = 0 }
  :: atomic {  /* the attacker */
       attacks < ATTACKS && nfull(carrier[CLIENT]) && nfull(carrier[SERVER]) ->
       attacks++;
       pick(x);
       if
       :: ran[x] != 0 -> kind = FIRST; secret = ran[x]
       :: ran[x] != 0 -> kind = SECOND; secret = ran[x]
       :: kind = REJECT
       :: lastSealed[x] != 0 -> kind = SEALED; secret = lastSealed[x]; count = lastCounter[x]
       fi;
       if
       :: true -> handle(CLIENT)
       :: true -> handle(SERVER)
       fi;
       kind = 0; x = 0; secret = 0; count = 0
     }
  :: side[CLIENT].closed && side[SERVER].closed && empty(carrier[CLIENT]) && empty(carrier[SERVER]) -> break
  od
}
