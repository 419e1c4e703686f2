/*
 * Renegotiation of one key by either side, also by both at once (glare): spec 3.14 and 4.3. The side that owns the key ID wins. If
 * an owner that waits for the answer to its own first message gets the other's, it ignores it; if the other side does, it gives its
 * own run up and answers. Nobody asks before both directions have moved to the newest generation.
 *
 * Runs have three messages: the one that asks makes the key when it sends the third, the other one when it receives it. Where an algorithm
 * has two, the third is the first envelope under the new generation. Each side moves at once, by an envelope under the new generation.
 * There is no attacker: the carrier keeps order, and what he could put into a run makes it fail and ends the session.
 *
 * -DNO_RULE      each side goes on with its own run and answers the other's as well
 * -DBOTH_INSIST  each side ignores the other's first message while it waits for an answer to its own
 * -DBOTH_YIELD   each side gives its own run up and answers the other's
 * -DNO_MOVED     a side asks, and is answered, as soon as no run is in progress
 * -DSANITY       asks whether every generation can be reached and used; spin must say yes
 */

#define OWNER   0
#define LAST    2  /* generations after the first, at most */
#define SEALS   2  /* envelopes from each side, at most */

mtype = { FIRST, SECOND, THIRD, SEALED };

/* kind, generation, key (the number of the run) */
chan carrier[2] = [6] of { mtype, byte, byte };  /* by receiver */

typedef Side {
  byte newest;           /* the newest established generation */
  byte key[LAST + 1];    /* the key of each generation */
  byte asking;           /* own run in progress: its key */
  byte answering;        /* the other side's run in progress: its key */
  byte sealing;          /* the generation that this side seals under */
  byte opening;          /* the generation that it opens at present */
  byte sealed
};
Side side[2];
byte runs = 1;

/* Properties: each says "violated". A side that waits for ever is an invalid end state, which spin reports by itself. */
bool generation_has_two_keys;  /* 3.1, 4.3: both sides have the same key for the same ID and generation */
bool honest_session_died;      /* 3.2: two honest sides that ask at once do not end the session */
bool generations_differ;       /* 4.3: when everything has arrived, both sides are in the same generation */
bool generation_went_back;     /* 4.3: generations only rise, by one */

bool generation_skipped;       /* 4.3: no generation is left out in a direction, so that KEY_UPDATE counts all envelopes */

#ifdef NO_MOVED
#define MOVED(me) true
#else
#define MOVED(me) (side[me].sealing == side[me].newest && side[me].opening == side[me].newest)
#endif

inline fail()
{
  honest_session_died = true;
  assert(!honest_session_died)
}

inline establish(me, g, k)
{
  if
  :: side[me].key[g] != 0 || (side[1 - me].key[g] != 0 && side[1 - me].key[g] != k) -> generation_has_two_keys = true
  :: else
  fi;
  assert(!generation_has_two_keys);
  generation_went_back = g != side[me].newest + 1;
  assert(!generation_went_back);
  side[me].key[g] = k;
  side[me].newest = g
}

inline answer(me, g, k)
{
  side[me].answering = k;
  carrier[1 - me] ! SECOND(g, k)
}

inline receiveFirst(me, g, k)
{
  if
  :: g != side[me].newest + 1 || side[me].answering != 0 || (side[me].asking == 0 && !MOVED(me)) -> fail()
  :: else ->
     if
     :: side[me].asking == 0 -> answer(me, g, k)
     :: else ->  /* glare */
#if defined(NO_RULE)
        answer(me, g, k)
#elif defined(BOTH_INSIST)
        skip
#elif defined(BOTH_YIELD)
        side[me].asking = 0;
        answer(me, g, k)
#else
        if
        :: me == OWNER
        :: else ->
           side[me].asking = 0;
           answer(me, g, k)
        fi
#endif
     fi
  fi
}

inline receive(me)
{
  carrier[me] ? kind(g, k);
  if
  :: kind == FIRST -> receiveFirst(me, g, k)
  :: kind == SECOND ->
     if
     :: k != side[me].asking -> fail()
     :: else ->
        carrier[1 - me] ! THIRD(g, k);
        side[me].asking = 0;
        establish(me, g, k)
     fi
  :: kind == THIRD ->
     if
     :: k != side[me].answering -> fail()
     :: else ->
        side[me].answering = 0;
        establish(me, g, k)
     fi
  :: kind == SEALED ->
     if
     :: g > side[me].newest || g < side[me].opening || side[me].key[g] != k -> fail()
     :: else ->
        generation_skipped = g > side[me].opening + 1;
        assert(!generation_skipped);
        side[me].opening = g;
#ifdef SANITY
        assert(side[0].opening < LAST || side[1].opening < LAST || g < LAST);
#endif
     fi
  fi;
  kind = 0; g = 0; k = 0
}

inline act(me)
{
  if
  :: side[me].asking == 0 && side[me].answering == 0 && side[me].newest < LAST && MOVED(me) ->
     runs++;
     side[me].asking = runs;
     carrier[1 - me] ! FIRST(side[me].newest + 1, runs)
  :: side[me].sealing < side[me].newest ->
#ifdef NO_MOVED
     side[me].sealing = side[me].newest;
#else
     side[me].sealing++;
#endif
     carrier[1 - me] ! SEALED(side[me].sealing, side[me].key[side[me].sealing])
  :: side[me].sealed < SEALS ->
     side[me].sealed++;
     carrier[1 - me] ! SEALED(side[me].sealing, side[me].key[side[me].sealing])
  :: else
  fi
}

init
{
  mtype kind;
  byte g, k;

  atomic { side[0].key[0] = 1; side[1].key[0] = 1 }
  do
  :: atomic { nfull(carrier[1]) -> act(0) }
  :: atomic { nfull(carrier[0]) -> act(1) }
  :: atomic { nempty(carrier[0]) && nfull(carrier[1]) -> receive(0) }
  :: atomic { nempty(carrier[1]) && nfull(carrier[0]) -> receive(1) }
  :: atomic {
       empty(carrier[0]) && empty(carrier[1]) ->
       generations_differ = side[0].newest != side[1].newest || side[0].opening != side[1].sealing || side[1].opening != side[0].sealing || side[0].asking + side[1].asking + side[0].answering + side[1].answering != 0;
       assert(!generations_differ);
       break
     }
  od
}
