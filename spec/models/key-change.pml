/*
 * From one key to the next: generations of a key (KEY_UPDATE, spec 4.3) and the switch of a stream direction from
 * key A to key B (KEY_SWITCH with a previous key, spec 4.5).
 *
 * The attacker sits in the carrier and can drop envelopes. With HOLDS_B he has key B as well: he negotiated it with the
 * same receiver as himself, so he opens and makes envelopes of B. Then he can put in what he likes under B, also in
 * the sender's place.
 *
 * -DNO_COUNT         the receiver does not compare KEY_UPDATE's number of envelopes
 * -DNO_SWITCH_COUNT  the receiver does not compare KEY_SWITCH's previous generation and number of frames
 * -DHOLDS_B          the attacker holds B
 * -DNO_PROOF         KEY_SWITCH carries no proof that its sender holds A
 * -DLOOSE            the proof leaves out the count, as if the secret only entered the digest
 * -DHOST_SENDS       the sender is a host's process behind a blind front: it holds A only and never moves to B
 * -DHOST_RECEIVES    the receiver is two such processes: the one that holds B has seen nothing that came under A
 * -DSANITY           asks whether an honest change of key can arrive; spin must say yes
 */

#define FRAMES 2  /* frames under each generation of A, at most */

/* FRAME: `number` counts the sender's frames. UPDATE: envelopes of generation 0. SWITCH: frames before. */
mtype = { FRAME, UPDATE, SWITCH };
#define A 0
#define B 1
#define NOBODY 0
#define SENDER 1

typedef Envelope { mtype kind; byte key; byte generation; byte counter; byte number; byte previous; byte proof; bool forged };

Envelope now;
bool over;

/* The sender of the direction. */
byte sealedUnder[2];      /* envelopes under A: generation 0 and 1 */
byte sealedB;
byte frames;              /* frames it sent under A */
byte generation;
bool movedToB;
byte framesB;

/* The receiver. */
byte openedUnder[2];
byte openedB;
byte accepted;            /* frames it took under A */
byte newest;              /* generation of A */
byte lastGeneration;      /* of the envelope with the direction's last frame */
bool bound;               /* the direction is bound to B */

/* A proof that the attacker has seen in an envelope of B: number of frames + 1, or 1 with LOOSE. */
byte seenProof;
#ifdef LOOSE
#define PROOF_OF(count) 1
#else
#define PROOF_OF(count) ((count) + 1)
#endif

/* Properties: each says "violated". */
bool sealed_frame_lost;    /* 4.1, 4.3: under A, no frame is lost without the session ending */
bool lost_before_switch;   /* 4.5: when a direction goes on under B, the receiver has everything that was sent under A */
bool direction_taken_over; /* 4.5: a direction goes on under B only if its sender moved it there */

inline receiveUnderA()
{
  if
  :: bound -> over = true                       /* 4.5: after the switch nothing under another key */
  :: else ->
     if
     :: now.generation < newest || now.generation > newest + 1 -> over = true
     :: now.counter != openedUnder[now.generation] -> over = true                        /* does not open */
     :: else ->
        if
        :: now.generation == newest
        :: else ->  /* the first envelope of a generation: KEY_UPDATE, or a count of 0 */
           if
#ifndef NO_COUNT
           :: now.kind == UPDATE && now.number != openedUnder[newest] -> over = true
           :: now.kind != UPDATE && openedUnder[newest] != 0 -> over = true
#endif
           :: else -> newest = now.generation
           fi
        fi;
        if
        :: over
        :: else ->
           openedUnder[now.generation]++;
           if
           :: now.kind == FRAME ->
              accepted++;
              lastGeneration = now.generation;
              sealed_frame_lost = now.number != accepted;
              assert(!sealed_frame_lost)
           :: else
           fi
        fi
     fi
  fi
}

inline receiveUnderB()
{
  if
  :: !now.forged && now.counter != openedB -> over = true
  :: now.kind == SWITCH ->
     if :: now.forged :: else -> openedB++ fi;
     if
     :: bound -> over = true
#ifdef HOST_RECEIVES
#ifndef NO_PROOF
     :: true -> over = true                     /* it has neither A's secret nor what came under A: it refuses */
#endif
#else
#ifndef NO_SWITCH_COUNT
     :: now.number != accepted || now.previous != lastGeneration -> over = true
#endif
#ifndef NO_PROOF
     :: now.proof != PROOF_OF(now.number) -> over = true
#endif
#endif
#if !defined(HOST_RECEIVES) || defined(NO_PROOF)
     :: else ->
        bound = true;
        direction_taken_over = !movedToB;
        assert(!direction_taken_over);
        lost_before_switch = accepted != frames;
        assert(!lost_before_switch)
#endif
     fi
  :: else ->
     if :: now.forged :: else -> openedB++ fi;
     if
     :: !bound -> over = true                   /* 4.4: not where its direction is bound */
     :: else ->
#ifdef SANITY
        assert(frames < 2 * FRAMES);
#endif
        skip
     fi
  fi
}

inline receive()
{
  if
  :: now.key == A -> receiveUnderA()
  :: else -> receiveUnderB()
  fi
}

inline sealUnderA(what)
{
  now.kind = what; now.key = A; now.generation = generation; now.counter = sealedUnder[generation];
  sealedUnder[generation]++
}

inline sealUnderB(what)
{
  now.kind = what; now.key = B; now.counter = sealedB;
  sealedB++
}

/* The sender's next envelope, onto the carrier. */
inline send()
{
  if
  :: !movedToB && frames < FRAMES * (generation + 1) ->
     frames++;
     sealUnderA(FRAME);
     now.number = frames
  :: !movedToB && generation == 0 ->
     generation = 1;
     sealUnderA(UPDATE);
     now.number = sealedUnder[0]
#ifndef HOST_SENDS
  :: !movedToB ->
     movedToB = true;
     sealUnderB(SWITCH);
     now.number = frames;
     now.previous = lastSent;
     now.proof = PROOF_OF(frames)
  :: movedToB && framesB == 0 ->
     framesB++;
     sealUnderB(FRAME)
#endif
  fi;
  if
  :: now.key == A && now.kind == FRAME -> lastSent = generation
  :: else
  fi
}

#define CLEAN now.kind = 0; now.key = 0; now.generation = 0; now.counter = 0; now.number = 0; now.previous = 0; now.proof = 0; now.forged = 0

init
{
  byte lastSent;  /* generation of the sender's last frame */
  bool delivers;

  do
  :: over -> break
  :: atomic {
       !over ->
       send();
#ifdef HOLDS_B
       if
       :: now.kind == SWITCH -> seenProof = now.proof
       :: else
       fi;
#endif
       if
       :: receive()
       :: skip  /* dropped */
       fi;
       CLEAN
     }
#ifdef HOLDS_B
  :: atomic {  /* the attacker seals under B, with every counter that he needs */
       !over ->
       now.key = B;
       now.forged = true;
       if
       :: now.kind = FRAME
       :: now.kind = SWITCH; now.number = accepted; now.previous = lastGeneration; now.proof = seenProof
       fi;
       receive();
       CLEAN
     }
#endif
  od
}
