/* LTTng-UST: the session is made by the runner before this starts (../src/compare/lttng.rs); $LTTNG_SESSION
 * names it. */
#define _GNU_SOURCE
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "lttng_tp.h"
#include "wl.h"
static const char *session;
static void peer_init(const char *out) {
    (void)out;
    session = getenv("LTTNG_SESSION");
}
static void peer_thread(void) {}
static inline void w0(void) { lttng_ust_tracepoint(bars, heartbeat); }
static inline void w1(const Net *n) {
    lttng_ust_tracepoint(bars, net, n->src, n->dst, n->sport, n->dport, n->proto, n->bytes);
}
static inline void w2(const Launch *l) {
    lttng_ust_tracepoint(bars, launch, l->pid, l->ppid, l->size, l->sha, l->path, l->cmd);
}
static void lt(const char *verb) {
    char c[200];
    if (!session || !*session)
        return;
    snprintf(c, sizeof c, "lttng %s %s 1>&2", verb,
             session); /* the runner reads the count of discarded events there */
    if (system(c))
        fprintf(stderr, "lttng %s failed\n", verb);
}
static void peer_disable(void) { lt("disable-event -u -c ch -a -s"); }
static void peer_finish(void) { lt("stop"); }
