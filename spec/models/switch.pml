/*
 * KEY_SWITCH from the clear (spec 4.2, 4.4, 4.5): one direction of a carrier with two scopes in it,
 * the sender's session frames (0) and one stream that answers a question of the receiver (1).
 *
 * The attacker holds no key. He sits in the carrier and can drop, change and insert clear frames, and drop,
 * delay and repeat envelopes. Cryptography is perfect: an envelope opens if and only if its counter comes next.
 *
 * -DNO_DIGEST         KEY_SWITCH proves no clear frame: neither its digest nor its count is compared
 * -DNO_ANSWERED       the digest leaves out Y, the SYN_STREAM that is answered
 * -DNO_STRICT         the receiver goes on taking clear frames after the switch
 * -DNO_SWITCH         no KEY_SWITCH at all: a scope is sealed as soon as an envelope has a frame of it
 * -DIMPLICIT_COUNTER  one counter of all frames instead of one of envelopes (as in SSH before Terrapin)
 * -DSANITY            asks whether everything can arrive; spin must say yes
 */

#define SCOPES  2
#define CLEARS  2  /* clear frames that the sender sends for each scope, at most */
#define SEALED  2  /* sealed frames after the switch, for each scope, at most */
#ifndef ATTACKS
#define ATTACKS 3  /* what the attacker does, at most */
#endif

mtype = { CLEAR, SWITCH, FRAME };

/* A frame as it is now. `number` is the content of a clear frame and the number of a sealed one. */
typedef Frame { mtype kind; byte scope; byte number; byte count; byte digest; byte y; byte counter };

/* The digest, free of collisions: the contents (1 as sent, 2 as forged) as digits. */
#define ADD(digest, content) ((digest) * 3 + (content))

Frame now;       /* the frame on the carrier */
Frame kept;      /* an envelope that the attacker holds back */
bool keeps;
byte attacks;
bool over;       /* the receiver has ended the session */

/* The sender. */
byte sentClear[SCOPES];
byte sentDigest[SCOPES];
byte sentSealed[SCOPES];
bool switched[SCOPES];
byte counter;
byte heard = 1;  /* the receiver asked question 1; the attacker decides what the sender hears */

/* The receiver. It never looks at the sender's variables, but for the properties. */
byte gotClear[SCOPES];
byte gotDigest[SCOPES];
byte gotSealed[SCOPES];
bool bound[SCOPES];
byte expected;

/* Properties: each says "violated". */
bool sealed_frame_lost;         /* 4.1: no sealed frame is lost, repeated or moved without the session ending */
bool clear_prefix_differs;      /* 4.5: after KEY_SWITCH both sides agree on every clear frame before it */
bool clear_after_switch;        /* 4.2, 4.5: nothing clear is accepted after the switch */
bool sealed_before_switch;      /* 4.4: nothing sealed is accepted for a scope whose sender has not switched it */
bool answer_to_other_question;  /* 4.5, Y: a sealed answer is accepted only to the question that was asked */

inline receiveClear()
{
  if
#ifndef NO_STRICT
  :: bound[now.scope] -> over = true
#endif
  :: else ->
     clear_after_switch = bound[now.scope];
     assert(!clear_after_switch);
     gotClear[now.scope]++;
     gotDigest[now.scope] = ADD(gotDigest[now.scope], now.number);
#ifdef IMPLICIT_COUNTER
     expected++
#endif
  fi
}

inline receiveSwitch()
{
  if
  :: bound[now.scope] -> over = true
#ifndef NO_DIGEST
  :: now.count != gotClear[now.scope] || now.digest != gotDigest[now.scope] -> over = true
#ifndef NO_ANSWERED
  :: now.scope == 1 && now.y != 1 -> over = true
#endif
#endif
  :: else -> bound[now.scope] = true
  fi
}

inline receiveFrame()
{
#ifdef NO_SWITCH
  bound[now.scope] = true;
#endif
  if
  :: !bound[now.scope] -> over = true
  :: else ->
     gotSealed[now.scope]++;
     sealed_frame_lost = now.number != gotSealed[now.scope];
     assert(!sealed_frame_lost);
     answer_to_other_question = now.scope == 1 && heard != 1;
     assert(!answer_to_other_question)
  fi
}

inline receiveEnvelope()
{
  if
  :: now.counter != expected -> over = true  /* does not open: 4.1 */
  :: else ->
     expected++;
     if
     :: now.kind == SWITCH -> receiveSwitch()
     :: else -> receiveFrame()
     fi;
     if
     :: over
     :: else ->
        sealed_before_switch = !switched[now.scope];
        assert(!sealed_before_switch);
        clear_prefix_differs = gotClear[now.scope] != sentClear[now.scope] || gotDigest[now.scope] != sentDigest[now.scope];
        assert(!clear_prefix_differs);
#ifdef SANITY
        assert(gotSealed[0] + gotSealed[1] < 2 * SEALED || gotClear[0] + gotClear[1] < 2 * CLEARS)
#endif
     fi
  fi
}

/* The sender's next frame, of scope s, onto the carrier. */
inline send(s)
{
  now.scope = s;
  if
  :: !switched[s] && sentClear[s] < CLEARS ->
     sentClear[s]++;
     sentDigest[s] = ADD(sentDigest[s], 1);
     now.kind = CLEAR;
     now.number = 1;
#ifdef IMPLICIT_COUNTER
     counter++
#endif
  :: !switched[s] ->
     switched[s] = true;
     now.kind = SWITCH;
     now.count = sentClear[s];
     now.digest = sentDigest[s];
     now.y = (s == 1 -> heard : 0);
#ifndef NO_SWITCH
     now.counter = counter;
     counter++
#endif
  :: switched[s] && sentSealed[s] < SEALED ->
     sentSealed[s]++;
     now.kind = FRAME;
     now.number = sentSealed[s];
     now.counter = counter;
     counter++
  fi
}

#define COPY(to, from) to.kind = from.kind; to.scope = from.scope; to.number = from.number; to.count = from.count; \
                       to.digest = from.digest; to.y = from.y; to.counter = from.counter

/* What is no state any more goes back to 0, so that spin takes equal states for equal. */
#define CLEAN(f) f.kind = 0; f.scope = 0; f.number = 0; f.count = 0; f.digest = 0; f.y = 0; f.counter = 0

inline deliver()
{
  if
  :: now.kind == CLEAR -> receiveClear()
#ifdef NO_SWITCH
  :: now.kind == SWITCH
#endif
  :: else -> receiveEnvelope()
  fi
}

init
{
  bool delivers;

  if
  :: skip
  :: heard = 2  /* the clear SYN_STREAM was changed on its way */
  fi;

  do
  :: over -> break
  :: atomic {
       !over ->
       delivers = true;
       if
       :: send(0)
       :: send(1)
       fi;
       if
       :: skip
       :: attacks < ATTACKS ->
          attacks++;
          if
          :: delivers = false                                                   /* dropped */
          :: now.kind == CLEAR -> now.number = 2                                /* changed */
          :: now.kind != CLEAR -> keeps = true; COPY(kept, now)                    /* kept, to repeat it */
          :: now.kind != CLEAR -> keeps = true; COPY(kept, now); delivers = false  /* kept back */
          fi
       fi;
       if
       :: delivers -> deliver()
       :: else
       fi;
       CLEAN(now);
       delivers = false
     }
  :: atomic {  /* the attacker puts something in */
       !over && attacks < ATTACKS ->
       attacks++;
       if
       :: now.kind = CLEAR; now.scope = 0; now.number = 1
       :: now.kind = CLEAR; now.scope = 1; now.number = 1
       :: now.kind = CLEAR; now.scope = 1; now.number = 2
       :: keeps -> COPY(now, kept)
       fi;
       deliver();
       CLEAN(now)
     }
  od
}
