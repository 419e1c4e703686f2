/*
 * RETIRE of one key while both sides open streams under it (spec 3.3). Either side may retire first, or both at once. There is no
 * attacker: what is asked is whether two honest sides always come to an end that both agree on.
 *
 * A stream has a question, SYN, and an answer that ends it. Both travel under the key.
 *
 * -DNO_REFUSE   who receives RETIRE waits on for streams that have crossed it
 * -DANSWER      who has retired answers a stream that crosses its RETIRE, as if it could still seal
 * -DFATAL       who has retired takes a stream that crosses its RETIRE for an offence
 * -DHASTY       a side retires although it has not answered a stream yet
 * -DNO_FOLLOW   who receives RETIRE does not retire the key itself
 * -DSANITY      asks whether the key can end with streams of both sides answered; spin must say yes
 */

#define STREAMS 2  /* from each side, at most */

mtype = { SYN, ANSWER_, RETIRE };
mtype = { UNUSED, OPEN, ANSWERED, REFUSED };

/* kind, whose stream, which */
chan carrier[2] = [4] of { mtype, byte, byte };  /* by receiver */

typedef Side {
  mtype mine[STREAMS];   /* own streams */
  mtype theirs[STREAMS]; /* of the other side, as this one sees them: UNUSED, OPEN, ANSWERED */
  bool closing;          /* opens no more streams under the key */
  bool retired;          /* RETIRE is sent */
  bool peerRetired;      /* RETIRE has come */
};
Side side[2];
byte answered;

/* Properties: each says "violated". A side that waits for ever is an invalid end state, which spin reports by itself. */
bool sealed_after_retire;   /* 3.3: RETIRE is the last frame of its sender under the key */
bool honest_session_died;   /* 3.3: streams that cross RETIRE do not end the session */
bool refused_but_handled;   /* 3.3: a stream that is refused was not handled by the other side, so that it may be tried again */
bool stream_forgotten;      /* 3.3: every stream is answered or refused */
bool key_lives_on;          /* 3.3: a key that one side retires is retired by both */

inline send(me, kind, whose, which)
{
  sealed_after_retire = side[me].retired;
  assert(!sealed_after_retire);
  carrier[1 - me] ! kind(whose, which)
}

inline receive(me)
{
  carrier[me] ? kind(whose, which);
  if
  :: kind == SYN ->
     if
     :: side[me].retired ->
#if defined(ANSWER)
        send(me, ANSWER_, whose, which)
#elif defined(FATAL)
        honest_session_died = true;
        assert(!honest_session_died)
#else
        skip
#endif
     :: else -> side[me].theirs[which] = OPEN
     fi
  :: kind == ANSWER_ -> side[me].mine[which] = ANSWERED
  :: kind == RETIRE ->
     side[me].peerRetired = true;
     side[me].closing = true;
#ifndef NO_REFUSE
     which = 0;
     do
     :: which == STREAMS -> break
     :: else ->
        if
        :: side[me].mine[which] == OPEN ->
           side[me].mine[which] = REFUSED;
           refused_but_handled = side[1 - me].theirs[which] != UNUSED;
           assert(!refused_but_handled)
        :: else
        fi;
        which++
     od
#endif
  fi;
  kind = 0; whose = 0; which = 0
}

#define HAS_OPEN(me) (side[me].mine[0] == OPEN || side[me].mine[1] == OPEN)
#define OWES(me)     (side[me].theirs[0] == OPEN || side[me].theirs[1] == OPEN)
#ifdef HASTY
#define NEEDS(me)    HAS_OPEN(me)
#else
#define NEEDS(me)    (HAS_OPEN(me) || OWES(me))
#endif

#ifdef NO_FOLLOW
#define MAY_RETIRE(me) (!side[me].retired && !side[me].peerRetired && !NEEDS(me))
#else
#define MAY_RETIRE(me) (!side[me].retired && !NEEDS(me))
#endif

inline act(me)
{
  if
  :: !side[me].closing && side[me].mine[0] == UNUSED -> side[me].mine[0] = OPEN; send(me, SYN, me, 0)
  :: !side[me].closing && side[me].mine[0] != UNUSED && side[me].mine[1] == UNUSED -> side[me].mine[1] = OPEN; send(me, SYN, me, 1)
  :: side[me].theirs[0] == OPEN -> side[me].theirs[0] = ANSWERED; answered++; send(me, ANSWER_, 1 - me, 0)
  :: side[me].theirs[1] == OPEN -> side[me].theirs[1] = ANSWERED; answered++; send(me, ANSWER_, 1 - me, 1)
  :: MAY_RETIRE(me) -> side[me].closing = true; send(me, RETIRE, 0, 0); side[me].retired = true
  fi
}

#define CAN_ACT(me) ((!side[me].closing && (side[me].mine[0] == UNUSED || side[me].mine[1] == UNUSED)) || OWES(me) || MAY_RETIRE(me))

init
{
  mtype kind;
  byte whose, which;

  atomic {
    byte s;
    for (s : 0 .. 1) {
      side[s].mine[0] = UNUSED; side[s].mine[1] = UNUSED;
      side[s].theirs[0] = UNUSED; side[s].theirs[1] = UNUSED
    }
    s = 0
  }

  do
  :: atomic { nfull(carrier[1]) && CAN_ACT(0) -> act(0) }
  :: atomic { nfull(carrier[0]) && CAN_ACT(1) -> act(1) }
  :: atomic { nempty(carrier[0]) -> receive(0) }
  :: atomic { nempty(carrier[1]) -> receive(1) }
  :: atomic {
       empty(carrier[0]) && empty(carrier[1]) && (side[0].retired || side[1].retired) &&
       (!CAN_ACT(0) || side[0].retired) && (!CAN_ACT(1) || side[1].retired) && !OWES(0) && !OWES(1) ->
       stream_forgotten = HAS_OPEN(0) || HAS_OPEN(1);
       assert(!stream_forgotten);
       key_lives_on = !side[0].retired || !side[1].retired;
       assert(!key_lives_on);
#ifdef SANITY
       assert(answered < 3);
#endif
       break
     }
  od
}
